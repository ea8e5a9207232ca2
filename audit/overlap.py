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
from django.db import connections

from audit.chain import DATABASE
from audit.choices import CONFIRMED_OUTCOMES, LEGACY_SOURCES, POSSIBLY_APPLIED_OUTCOMES, Kind
from audit.customer_index import owners_between
from audit.models import Attempt, AttemptCustomer, AuditEntry, segment_of
from audit.selectors import of_few_customers
from tmsdash.db import clock
from tmsdash.db.bulk import Listed, parts

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
    first, last, older_pks = _bounds(
        cluster_url, action_code, max(accepted_since, BEGINNING + margin) - margin, accepted_since
    )
    older = [*filter(counts, _with_pks(older_pks))]
    shared = _read(older, cids) if _reading_pays(older, len(older) * len(cids)) else _look_up_each(older, cids)
    pks = range(first, last + 1)
    if len(pks) * PER_ATTEMPT < len(cids):
        recent = [*filter(counts, _with_pks(pks))]
        if _reading_pays(recent, len(cids)):
            return _newest_first(shared | _read(recent, cids))
    if pks:
        shared |= {attempt: common for attempt, common in _look_up_from(first, last, cids).items() if counts(attempt)}
    return _newest_first(shared)


def places_at(moment: datetime) -> tuple[int, int]:
    """Return primary keys: of the first attempt that may have been running at `moment`, and of the newest one of now.

    With them `attempts_since` later tells what came after that moment, whatever becomes of the clock.
    """
    margin = timedelta(seconds=max(0, settings.TMS_OPEN_AFTER_S))
    newest = Attempt.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    running = Attempt.objects.filter(created_at__gte=moment - margin).order_by("created_at")
    return running.values_list("pk", flat=True).first() or newest + 1, newest


def attempts_since(moment: datetime, places: tuple[int, int], cluster_url: str, cids: Sequence[str]) -> Shared:
    """Return the attempts on a cluster, at any action, that may have changed any of `cids` after `moment`.

    `places` are what `places_at` told of that moment. What was imported since had happened long before.
    """
    first, newest = places
    last = Attempt.objects.order_by("-pk").values_list("pk", flat=True).first() or 0

    def counts(attempt: Attempt) -> bool:
        is_later = attempt.pk > newest or attempt.decided_at is None or attempt.decided_at >= moment
        may_be_applied = attempt.is_open or attempt.outcome in POSSIBLY_APPLIED_OUTCOMES
        is_ours = attempt.cluster_url == cluster_url and attempt.source not in LEGACY_SOURCES
        return is_later and may_be_applied and is_ours

    shared = _look_up_from(first, last, cids) if first <= last else {}
    return _newest_first({attempt: common for attempt, common in shared.items() if counts(attempt)})


def _with_pks(pks: Sequence[int]) -> Iterator[Attempt]:
    # One by one, not from the first one on: by statistics that are out of date that may look like most of the table.
    for part in parts(pks):
        yield from Attempt.objects.filter(pk__in=part).order_by()


def _newest_first(shared: Shared) -> Shared:
    return dict(sorted(shared.items(), key=lambda item: item[0].pk, reverse=True))


def _bounds(
    cluster_url: str, action_code: int, opened_since: datetime, accepted_since: datetime
) -> tuple[int, int, list[int]]:
    """Return the primary keys of the first attempt that was opened after `opened_since` and of the last one of all, and
    of those before them that may count: at the same action, and open or confirmed lately.

    One statement, since as a rule nothing more is needed than to learn that there is nothing to compare with.
    """
    connection = connections[DATABASE]
    since, now, accepted = map(
        connection.ops.adapt_datetimefield_value, (opened_since, clock.now(DATABASE), accepted_since)
    )
    target = cluster_url, action_code
    with connection.cursor() as cursor:
        cursor.execute(_BOUNDS, [since, now, *target, *target, accepted])
        (_, last), *rows = cursor.fetchall()
    first = min((pk for place, pk in rows if place == 1), default=(last or 0) + 1)
    return first, last or 0, [pk for place, pk in rows if place == 2 and pk < first]


# From before the clock was set back, there may be attempts whose time is to come; as a rule there are none. Asked for
# the least number itself, SQLite would go through all of the table. The "+" keeps it from the index on actions, which
# would lead to nearly as many.
_BOUNDS = f"""
SELECT 0, max(id) FROM audit_attempt UNION ALL
SELECT 1, id FROM
    (SELECT id FROM audit_attempt WHERE created_at >= %s ORDER BY created_at LIMIT 1) AS earliest UNION ALL
SELECT 1, id FROM audit_attempt WHERE created_at > %s UNION ALL
SELECT 2, id FROM audit_attempt WHERE is_open AND cluster_url = %s AND +action_code = %s UNION ALL
SELECT 2, id FROM audit_attempt WHERE NOT is_open AND cluster_url = %s AND +action_code = %s AND decided_at > %s
    AND outcome IN ({", ".join(f"'{outcome}'" for outcome in sorted(CONFIRMED_OUTCOMES))})
"""  # noqa: S608 (constants)


def _reading_pays(attempts: Iterable[Attempt], look_ups: int) -> bool:
    """Tell whether to read the lists of these attempts costs less than so many look-ups."""
    return sum(PER_ATTEMPT + PER_ID * attempt.customer_count for attempt in attempts) < look_ups


def _read(attempts: Sequence[Attempt], cids: Sequence[str]) -> Shared:
    """Return what each attempt shares with a list, of those that share something. What cannot be read is looked up."""
    wanted, shared = set(cids), {}
    unread = {attempt.attempt_id: attempt for attempt in attempts}
    for part in of_few_customers(attempts):
        opening = AuditEntry.objects.filter(attempt_id__in=[attempt.attempt_id for attempt in part], kind__in=OPENING)
        for attempt_id, body in opening.values_list("attempt_id", "body"):
            with suppress(ValueError, TypeError, KeyError, RecursionError):  # somebody wrote what we never would
                common = frozenset(wanted.intersection(json.loads(body)["cids"]))
                shared[unread.pop(attempt_id)] = common  # type: ignore[arg-type]
    shared |= _look_up_each([*unread.values()], cids)
    return {attempt: common for attempt, common in shared.items() if common}


def _look_up_each(attempts: Sequence[Attempt], cids: Sequence[str]) -> Shared:
    """Return the same, from the index."""
    cids_of: dict[int, set[str]] = {}
    places = {segment_of(attempt.pk) for attempt in attempts}
    for part in parts(cids if attempts else ()):
        rows = AttemptCustomer.objects.filter(segment__in=places, attempt__in=attempts, cid__in=part)
        for attempt_pk, cid in rows.values_list("attempt_id", "cid"):
            cids_of.setdefault(attempt_pk, set()).add(cid)
    return {attempt: frozenset(cids_of[attempt.pk]) for attempt in attempts if attempt.pk in cids_of}


def _look_up_from(first: int, last: int, cids: Sequence[str]) -> Shared:
    """Return what all attempts from the primary key `first` to `last` share with a list, from the index."""
    cids_of: dict[int, set[str]] = {}
    listed = cids if isinstance(cids, Listed) else sorted(cids)
    for attempt_pk, cid in owners_between(first, last, listed):
        cids_of.setdefault(attempt_pk, set()).add(cid)
    return {attempt: frozenset(cids_of[attempt.pk]) for attempt in _with_pks([*cids_of])}
