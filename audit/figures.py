"""How much there is in the audit, for monitoring: read by indexes, however much that is."""

from collections import Counter
from datetime import datetime

from django.db.models import Count

from audit.models import Attempt
from audit.selectors import attempts_in_doubt_of, open_attempts
from tmsdash.db.expressions import unindexed
from tmsdash.db.plans import planned


def count_outcomes_since(moment: datetime) -> Counter[str]:
    """Return how many attempts that were made since a moment have each outcome."""
    attempts = planned(Attempt.objects.filter(created_at__gte=moment), through="created_at")
    return Counter(dict(attempts.order_by().values_list("outcome").annotate(Count("pk"))))


def oldest_in_doubt() -> datetime | None:
    """Return when the oldest attempt in doubt was made, if any is."""
    return attempts_in_doubt_of(None).values_list("created_at", flat=True).first()


def count_open_before(moment: datetime) -> int:
    """Return how many attempts are open that were made before a moment."""
    return open_attempts().filter(*unindexed(created_at__lte=moment)).count()
