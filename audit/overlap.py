"""Which attempts asked for customers of a list already, and may have changed them or be about to.

Nothing is sent twice because of this, so it runs in the transaction that opens an attempt, while the audit is locked,
and must be quick beside a million attempts. Hence:

1. Customers are looked up by the index on (id, attempt), from the first attempt on that may count as recent.
2. Of older attempts only those that are open count, or that a reading or a person has confirmed lately. They are few,
   and each is compared in whichever way is cheaper.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Min
from django.utils import timezone

from audit.chain import DATABASE
from audit.choices import CONFIRMED_OUTCOMES
from audit.models import Attempt, AttemptCustomer
from audit.selectors import open_attempts, opening_body, parts
from tmsdash.db.bulk import owners_of_list

Shared = dict[Attempt, frozenset[str]]  # the customers of a list that each attempt asked for, the newest attempt first


class OverlapError(Exception):
    """Customers of a list were asked for already: `shared` tells which, by which attempts."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(f"shares customers with {len(shared)} attempts")
        self.shared = shared


def attempts_sharing(cluster_url: str, action_code: int, cids: Sequence[str], accepted_since: datetime) -> Shared:
    """Return the attempts at the same action on the same cluster that ask for any of `cids` and count as sent.

    These are the open ones, and those that TMS accepted after `accepted_since`.
    """

    def counts(attempt: Attempt) -> bool:
        is_alike = (attempt.cluster_url, attempt.action_code) == (cluster_url, action_code)
        is_late = attempt.is_accepted and attempt.decided_at is not None and attempt.decided_at > accepted_since
        return is_alike and (attempt.is_open or is_late)

    first_recent = _first_since(accepted_since - timedelta(seconds=max(0, settings.TMS_OPEN_AFTER_S)))
    cids_of: dict[int, set[str]] = {}
    for attempt_pk, cid in owners_of_list(
        DATABASE, AttemptCustomer._meta.db_table, "attempt_id", cids, from_owner_id=first_recent
    ):
        cids_of.setdefault(attempt_pk, set()).add(cid)
    recent = [attempt for part in parts([*cids_of]) for attempt in Attempt.objects.filter(pk__in=part)]
    shared = {attempt: frozenset(cids_of[attempt.pk]) for attempt in recent if counts(attempt)}
    older = filter(counts, _older(cluster_url, first_recent, accepted_since))
    shared |= _compare([*older], cids)
    return dict(sorted(shared.items(), key=lambda item: item[0].pk, reverse=True))


def _first_since(moment: datetime) -> int:
    """Return the primary key from which on attempts were opened after `moment`."""
    since = Attempt.objects.filter(created_at__gte=moment)
    earliest = since.order_by("created_at").values_list("pk", flat=True).first()
    if earliest is None:
        return (Attempt.objects.order_by("-pk").values_list("pk", flat=True).first() or 0) + 1
    # From before the clock was set back; there are none as a rule.
    ahead = Attempt.objects.filter(created_at__gt=timezone.now()).aggregate(first=Min("pk"))["first"]
    return min(earliest, ahead or earliest)


def _older(cluster_url: str, first_recent: int, accepted_since: datetime) -> list[Attempt]:
    confirmed = Attempt.objects.filter(outcome__in=CONFIRMED_OUTCOMES, decided_at__gt=accepted_since, is_open=False)
    older = {"pk__lt": first_recent, "cluster_url": cluster_url}
    return [*open_attempts().filter(**older), *confirmed.filter(**older)]


def _compare(attempts: Sequence[Attempt], cids: Sequence[str]) -> Shared:
    """Return what each attempt shares with a list, of those that share something."""
    shared: dict[Attempt, frozenset[str]] = {}
    if len(attempts) * len(cids) <= sum(attempt.customer_count for attempt in attempts):
        by_pk = {attempt.pk: attempt for attempt in attempts}
        for part in parts(cids):
            rows = AttemptCustomer.objects.filter(attempt__in=attempts, cid__in=part)
            for attempt_pk, cid in rows.values_list("attempt_id", "cid"):
                attempt = by_pk[attempt_pk]
                shared[attempt] = shared.get(attempt, frozenset()) | {cid}
        return shared
    wanted = set(cids)
    for attempt in attempts:
        if common := wanted.intersection(opening_body(attempt)["cids"]):
            shared[attempt] = frozenset(common)
    return shared
