"""Which attempts asked for customers of a list already, and may have changed them or be about to.

Nothing is sent twice because of this, so it runs in the transaction that opens an attempt, while the audit is locked,
and must be quick beside a million attempts. Hence:

1. Only those count that are open, or that TMS accepted lately. As a rule these are among the recent ones, from the
   first attempt on that was opened within that time. Of older ones, some are open still, or a reading or a person has
   confirmed them lately. Those are few.
2. There are two ways to compare: to read the lists of attempts, or to look each customer up in the index on (id,
   attempt), whose cost depends on the list alone. Each time the cheaper one is taken.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db.models import Max
from django.utils import timezone

from audit.chain import DATABASE
from audit.choices import CONFIRMED_OUTCOMES, Kind
from audit.models import Attempt, AttemptCustomer, AuditEntry
from audit.selectors import open_attempts, parts
from tmsdash.db.bulk import owners_of_list

# What reading costs, in look-ups: an attempt, and each id of its list.
PER_ATTEMPT, PER_ID = 10, 0.05
OPENING = [kind for kind in Kind if kind.opens_attempt]

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)  # databases need not know times before

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
        accepted_lately = attempt.is_accepted and attempt.decided_at is not None and attempt.decided_at > accepted_since
        return is_alike and (attempt.is_open or accepted_lately)

    margin = timedelta(seconds=max(0, settings.TMS_OPEN_AFTER_S))
    first = _first_since(max(accepted_since, BEGINNING + margin) - margin)
    older = [*filter(counts, _older(cluster_url, first, accepted_since))]
    shared = _read(older, cids) if _reading_pays(older, len(older) * len(cids)) else _look_up_each(older, cids)
    pks = range(first, _last() + 1)
    if len(pks) * PER_ATTEMPT < len(cids):
        recent = [*filter(counts, _with_pks(pks))]
        if _reading_pays(recent, len(cids)):
            return _newest_first(shared | _read(recent, cids))
    shared |= {attempt: common for attempt, common in _look_up_from(first, cids).items() if counts(attempt)}
    return _newest_first(shared)


def _with_pks(pks: Sequence[int]) -> Iterator[Attempt]:
    # One by one, not from the first one on: by statistics that are out of date that may look like most of the table.
    for part in parts(pks):
        yield from Attempt.objects.filter(pk__in=part).order_by()


def _newest_first(shared: Shared) -> Shared:
    return dict(sorted(shared.items(), key=lambda item: item[0].pk, reverse=True))


def _last() -> int:
    """Return the primary key of the newest attempt; 0 if there is none."""
    return Attempt.objects.aggregate(last=Max("pk"))["last"] or 0


def _first_since(moment: datetime) -> int:
    """Return the primary key from which on attempts were opened after `moment`."""
    since = Attempt.objects.filter(created_at__gte=moment)
    earliest = since.order_by("created_at").values_list("pk", flat=True).first()
    if earliest is None:
        return _last() + 1
    # From before the clock was set back; there are none as a rule. Asked for the least number itself, SQLite would go
    # through all of the table.
    ahead = Attempt.objects.filter(created_at__gt=timezone.now()).order_by("created_at").values_list("pk", flat=True)
    return min([earliest, *ahead])


def _older(cluster_url: str, first: int, accepted_since: datetime) -> list[Attempt]:
    confirmed = Attempt.objects.filter(outcome__in=CONFIRMED_OUTCOMES, decided_at__gt=accepted_since, is_open=False)
    older = {"pk__lt": first, "cluster_url": cluster_url}
    return [*open_attempts().filter(**older), *confirmed.filter(**older)]


def _reading_pays(attempts: Iterable[Attempt], look_ups: int) -> bool:
    """Tell whether to read the lists of these attempts costs less than so many look-ups."""
    return sum(PER_ATTEMPT + PER_ID * attempt.customer_count for attempt in attempts) < look_ups


def _read(attempts: Sequence[Attempt], cids: Sequence[str]) -> Shared:
    """Return what each attempt shares with a list, of those that share something. What cannot be read is looked up."""
    wanted, shared = set(cids), {}
    unread = {attempt.attempt_id: attempt for attempt in attempts}
    for part in parts([*unread]):
        opening = AuditEntry.objects.filter(attempt_id__in=part, kind__in=OPENING)
        for attempt_id, body in opening.values_list("attempt_id", "body"):
            with suppress(ValueError, TypeError, KeyError, RecursionError):  # somebody wrote what we never would
                common = frozenset(wanted.intersection(json.loads(body)["cids"]))
                shared[unread.pop(attempt_id)] = common  # type: ignore[arg-type]
    shared |= _look_up_each([*unread.values()], cids)
    return {attempt: common for attempt, common in shared.items() if common}


def _look_up_each(attempts: Sequence[Attempt], cids: Sequence[str]) -> Shared:
    """Return the same, from the index."""
    cids_of: dict[int, set[str]] = {}
    for part in parts(cids if attempts else ()):
        rows = AttemptCustomer.objects.filter(attempt__in=attempts, cid__in=part)
        for attempt_pk, cid in rows.values_list("attempt_id", "cid"):
            cids_of.setdefault(attempt_pk, set()).add(cid)
    return {attempt: frozenset(cids_of[attempt.pk]) for attempt in attempts if attempt.pk in cids_of}


def _look_up_from(first: int, cids: Sequence[str]) -> Shared:
    """Return what all attempts from this primary key on share with a list, from the index."""
    cids_of: dict[int, set[str]] = {}
    table = AttemptCustomer._meta.db_table
    for attempt_pk, cid in owners_of_list(DATABASE, table, "attempt_id", sorted(cids), from_owner_id=first):
        cids_of.setdefault(attempt_pk, set()).add(cid)
    return {attempt: frozenset(cids_of[attempt.pk]) for attempt in _with_pks([*cids_of])}
