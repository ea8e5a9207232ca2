"""How often somebody did within the last minute what leaves an entry in the audit, on all hosts that share it.

Each server counts for itself, see `tmsdash.rates`; on SQLite there is no other. On PostgreSQL the audit, which has an
entry of each, tells what others did. Of those that come at the same moment more may be let in: these rates bound how
much is written.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import Error as AnyDatabaseError
from django.db import connections

from audit.chain import DATABASE
from audit.choices import Kind, Outcome, Source
from audit.models import Attempt, AuditEntry
from tmsdash.db import clock
from tmsdash.db.transactions import drop_if_broken
from tmsdash.rates import WINDOW_S

logger = logging.getLogger(__name__)

EXPORTS_LOOKED_AT = 500  # of all users; so many within a minute are none that people make
REQUESTS = [source for source in Source if source.is_request]


def is_refused_too_often(user_id: str, per_minute: int) -> bool:
    """Tell whether `per_minute` requests of a user were refused within a minute; False if nobody can tell.

    Repeats and what could not be done just then are among them, because the rows do not tell these apart.
    """

    def is_reached(since: datetime) -> bool:
        # Of what failed within that time there is an index, see attempt_by_error.
        failed = Attempt.objects.filter(created_at__gt=since, user_id=user_id).exclude(error_message="")
        refused = failed.filter(outcome=Outcome.REFUSED, source__in=REQUESTS).order_by()
        return refused[:per_minute].count() >= per_minute

    return _ask(is_reached)


def has_exported_too_often(user_id: str, what: str, per_minute: int) -> bool:
    """Tell whether a user exported `what` `per_minute` times within a minute; False if nobody can tell."""

    def is_reached(since: datetime) -> bool:
        # Of those of years, only the newest can be of the last minute, and by their order they are read at once.
        newest = AuditEntry.objects.filter(kind=Kind.EXPORTED).order_by("-sequence").values("pk")[:EXPORTS_LOOKED_AT]
        exports = AuditEntry.objects.filter(pk__in=newest, user_id=user_id, created_at__gt=since)
        return exports.filter(body__contains=f'"what":"{what}"').order_by()[:per_minute].count() >= per_minute

    return _ask(is_reached)


def _ask(is_reached: Callable[[datetime], bool]) -> bool:
    if connections[DATABASE].vendor != "postgresql":
        return False
    try:
        with drop_if_broken(DATABASE):
            return is_reached(clock.now(DATABASE) - timedelta(seconds=WINDOW_S))
    except AnyDatabaseError as error:  # which then takes no entry either
        logger.warning("[AUDIT] WARNING: it cannot be told what other hosts did: %s", error)
        return False
