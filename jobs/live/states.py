"""The newest known state of each customer, and the readings that show it.

1. A whole reading replaces the states of its cluster, unless a newer whole reading is there. A customer that it does
   not list has no state any more.
2. A reading of one customer counts for that customer until a whole reading that began later is kept.
3. A failed reading changes no state.
4. Readings are kept for KEPT, and as long as a state goes back to them.

"Newer" goes by when readings began: what one shows was true at some moment after that.
All functions raise DatabaseError when the jobs database cannot be used.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import connections
from django.db.models import Count, Exists, OuterRef, Q

from jobs.live.codes import NO_ACTION
from jobs.live.pace import locked_cluster
from jobs.models import LiveCluster, LiveReading, LiveState
from tmsdash.db import clock
from tmsdash.db.broken_rows import BrokenRowError
from tmsdash.db.bulk import Listed, release_after
from tmsdash.db.transactions import write_transaction

DATABASE = "jobs"
KEPT = timedelta(days=30)
PRUNED_AT_ONCE = 100  # with each reading that is written, which is far more than are written meanwhile


@dataclass(frozen=True)
class KnownState:
    """The state of a customer (see jobs.live.codes), and the reading that showed it."""

    code: int
    reading: LiveReading


@dataclass(frozen=True)
class KnownStates:
    """What is known of some customers of a cluster; those of whom nothing was ever read are `unread`."""

    by_cid: Mapping[str, KnownState] = field(default_factory=dict)
    unread: Sequence[str] = ()
    whole: LiveReading | None = None

    @property
    def counts(self) -> dict[int, int]:
        """How many customers have each code, in the order of the codes."""
        return dict(sorted(Counter(state.code for state in self.by_cid.values()).items()))

    @property
    def oldest(self) -> LiveReading | None:
        """The oldest of the readings that show them: what all of this was true of at the earliest."""
        return min((state.reading for state in self.by_cid.values()), key=lambda read: read.began_at, default=None)


def cluster_row(cluster_url: str) -> LiveCluster | None:
    """Return what is shared about reading a cluster, with its newest whole reading; None if it was never read."""
    return LiveCluster.objects.select_related("whole").filter(cluster_url=cluster_url).first()


def whole_reading(cluster_url: str) -> LiveReading | None:
    """Return the newest whole reading of a cluster, or None."""
    row = cluster_row(cluster_url)
    return row.whole if row else None


def states_of(cluster_url: str, cids: Sequence[str]) -> KnownStates:
    """Return what is known of these customers of a cluster, however many."""
    row = cluster_row(cluster_url)
    if row is None:
        return KnownStates(unread=tuple(cids))
    rows = _rows_of(row, cids)
    readings = LiveReading.objects.in_bulk({reading_id for _, reading_id in rows.values() if reading_id})
    known: dict[tuple[int, int | None], KnownState] = {}  # customers of one state and reading share it
    by_cid, unread = {}, []
    for cid in cids:
        place = rows.get(cid, (NO_ACTION, None))
        if place not in known:
            reading = readings[place[1]] if place[1] else row.whole
            if reading is None:
                unread.append(cid)
                continue
            known[place] = KnownState(checked_code(place[0]), reading)
        by_cid[cid] = known[place]
    return KnownStates(by_cid, tuple(unread), row.whole)


def _rows_of(row: LiveCluster, cids: Sequence[str]) -> dict[str, tuple[int, int | None]]:
    """Return the code of each of `cids` that has a row, with the key of the reading of its own."""
    known = [cid for cid in cids if "\0" not in cid]  # no id holds it, and PostgreSQL takes no such text
    connection, parameter = connections[DATABASE], Listed.of(DATABASE, known).parameter
    # CROSS JOIN: for each id that is asked for, one look into the index.
    listed = "json_each(%s) AS listed CROSS JOIN" if connection.vendor == "sqlite" else "unnest(%s::text[]) AS listed,"
    value = "listed.value" if connection.vendor == "sqlite" else "listed"
    table = connection.ops.quote_name(LiveState._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT state.cid, state.code, state.reading_id FROM {listed} {table} AS state "  # noqa: S608 (names of ours)
            f"WHERE state.cluster_id = %s AND state.cid = {value}",
            [parameter, row.pk],
        )
        rows = {cid: (code, reading_id) for cid, code, reading_id in cursor.fetchall()}
    release_after(connection, parameter)
    return rows


def count_codes(row: LiveCluster) -> dict[int, int]:
    """Return how many customers of a cluster have each code, in the order of the codes."""
    counts = row.states.order_by().values_list("code").annotate(count=Count("pk"))
    return dict(sorted((checked_code(code), count) for code, count in counts))


def checked_code(code: Any) -> int:
    """Return the code as the database gave it; raises BrokenRowError if it is no number."""
    if not isinstance(code, int):
        raise BrokenRowError("A state of a customer holds no code of an action.")
    return code


def newest_failure(row: LiveCluster) -> LiveReading | None:
    """Return the newest reading of all customers that failed since the newest good one, or None."""
    failed = LiveReading.objects.filter(cluster_url=row.cluster_url, asked=LiveReading.ALL).exclude(problem="")
    return failed.filter(pk__gt=row.whole_id or 0).order_by("-pk").first()


def keep_failed(reading: LiveReading) -> None:
    """Write down a reading that failed, with its `problem`."""
    with write_transaction(DATABASE):
        row = locked_cluster(reading.cluster_url)
        _prune(row)
        reading.save(force_insert=True)


def keep_one(reading: LiveReading, code: int) -> None:
    """Write down a reading of one customer, with the code that it showed."""
    with write_transaction(DATABASE):
        row = locked_cluster(reading.cluster_url)
        _prune(row)
        reading.save(force_insert=True)
        before = row.states.filter(cid=reading.asked).select_related("reading").first()
        shown_by = (before.reading if before else None) or row.whole
        if shown_by is None or shown_by.began_at < reading.began_at:
            LiveState.objects.update_or_create(
                cluster=row, cid=reading.asked, defaults={"code": code, "reading": reading}
            )


def keep_whole(reading: LiveReading, codes: Mapping[str, int]) -> None:
    """Write down a reading of all customers of a cluster, with the code that each showed."""
    listed = json.dumps(codes, ensure_ascii=False)  # before the lock: a fleet's takes a while
    with write_transaction(DATABASE):
        row = locked_cluster(reading.cluster_url)
        _prune(row)
        reading.save(force_insert=True)
        if row.whole and row.whole.began_at >= reading.began_at:
            return
        newer = list(
            LiveReading.objects.filter(
                Q(began_at__gt=reading.began_at), cluster_url=reading.cluster_url, problem=""
            ).values_list("pk", flat=True)
        )
        _replace(row, codes, listed, newer)
        row.whole = reading
        row.save(update_fields=["whole"])


def _replace(row: LiveCluster, codes: Mapping[str, int], listed: str, newer: Sequence[int]) -> None:
    """Let the cluster's states be these, except for those that a `newer` reading shows.

    Two statements take the whole list as one parameter, and write only rows that change.
    """
    connection = connections[DATABASE]
    table = connection.ops.quote_name(LiveState._meta.db_table)
    kept = f"{table}.reading_id IN ({', '.join(str(int(pk)) for pk in newer)})" if newer else "FALSE"
    if connection.vendor == "sqlite":
        rows, given = "SELECT key AS cid, value AS code FROM json_each(%s)", [listed]
    else:
        rows = "SELECT * FROM unnest(%s::text[], %s::smallint[]) AS listed(cid, code)"
        given = [[*codes], [*codes.values()]]  # type: ignore[list-item]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (cluster_id, cid, code) "  # noqa: S608 (names and numbers of ours)
            f"SELECT %s, listed.cid, listed.code FROM ({rows}) AS listed WHERE TRUE ORDER BY listed.cid "
            "ON CONFLICT (cluster_id, cid) DO UPDATE SET code = excluded.code, reading_id = NULL "
            f"WHERE ({table}.code <> excluded.code OR {table}.reading_id IS NOT NULL) "
            f"AND NOT COALESCE({kept}, FALSE)",
            [row.pk, *given],
        )
        cursor.execute(
            f"DELETE FROM {table} WHERE cluster_id = %s AND NOT COALESCE({kept}, FALSE) "  # noqa: S608
            f"AND cid NOT IN (SELECT listed.cid FROM ({rows}) AS listed)",
            [row.pk, *given],
        )
    release_after(connection, listed)


def _prune(row: LiveCluster) -> None:
    """Delete the oldest readings of a cluster if they were kept for long enough, and no state goes back to them."""
    since = clock.now("jobs") - KEPT
    alone = Exists(LiveState.objects.filter(reading=OuterRef("pk"), reading__isnull=False))
    unused = LiveReading.objects.filter(~alone, cluster_url=row.cluster_url).exclude(pk=row.whole_id or 0)
    # In the order of keys, which needs no index of times, and is theirs but for those that were given later.
    oldest = unused.order_by("pk").values_list("pk", "ended_at")[:PRUNED_AT_ONCE]
    if too_old := [pk for pk, ended_at in oldest if ended_at < since]:
        LiveReading.objects.filter(pk__in=too_old).delete()
