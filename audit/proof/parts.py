"""All attempts part by part, each with its entries, its row and its ids in the customer index.

A part lies within one segment of the index and has a limited number of customers, so a million attempts take no more
memory than some thousand, and nothing is sorted but the customers of one part. Entries, rows and index of a part are
three streams in the order of the attempts' ids.
"""

from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from django.db import connections

from audit.chain import DATABASE
from audit.models import SEGMENT_ATTEMPTS, segment_of
from audit.proof.archives import archived_attempts, entries_by_attempt
from audit.proof.stored import hex_sql, rows_of, select, time_sql

ASKED = ("action_code", "action_name", "cluster_url", "source", "customer_count")
MOVING = ("outcome", "http_status", "error_message", "is_open", "job_owed")
DIGEST = "payload_digest"  # in the bodies of newer entries only
NOTE = "note"  # in the bodies of those whose user wrote one
_TRUTHS = ("a.is_open", "a.job_owed")
FIELDS = (*ASKED, "user_id", "ip_address", "created_at", *MOVING, "decided_at", NOTE, DIGEST)

MAX_CUSTOMERS = 250_000  # of a part, if they are about the same number for each of its attempts: 20 MB to sort
_ROW = "SELECT 1 FROM audit_attempt a WHERE a.attempt_id = audit_auditentry.attempt_id"
_WITHOUT_ROW = f"attempt_id IS NOT NULL AND NOT EXISTS ({_ROW})"

Row = Sequence[Any]  # the FIELDS of an attempt's row, times as they are signed


class Event(NamedTuple):
    """What of an entry is compared, as text and numbers."""

    attempt_id: str
    sequence: int
    kind: str
    time: str
    user_id: str
    ip_address: str
    body: str


class Part(NamedTuple):
    """Attempts of one segment, by the keys of their rows, and the file of archived entries, "" if there is none."""

    first: int
    last: int
    archived: str = ""


Sides = tuple[
    list[Event], list[Row], list[str]
]  # the entries of an attempt, its row if it has one, its ids in the index


def parts(archived: str) -> Iterator[Part]:
    """Yield all attempts that have a row, in the order of their keys."""
    [(first,)] = rows_of("SELECT min(id) FROM audit_attempt")
    while first is not None:
        segment = segment_of(first)
        [(customers,)] = rows_of(f"SELECT count(*) FROM audit_attemptcustomer WHERE segment = {segment:d}")  # noqa: S608
        end = (segment + 1) * SEGMENT_ATTEMPTS
        step = max(SEGMENT_ATTEMPTS // (customers // MAX_CUSTOMERS + 1), 1)
        for start in range(end - SEGMENT_ATTEMPTS, end, step):
            yield Part(start, min(start + step, end) - 1, archived)
        # Over a gap at once, however far somebody has put the next row.
        [(first,)] = rows_of(f"SELECT min(id) FROM audit_attempt WHERE id >= {end:d}")  # noqa: S608


def attempts_of(part: Part) -> Iterator[tuple[str, Sides]]:
    """Yield the attempts of a part: the id of each, in their order, and what there is of it."""
    of_part = f"BETWEEN {part.first:d} AND {part.last:d}"
    ids = f"SELECT attempt_id FROM audit_attempt WHERE id {of_part}"  # noqa: S608 (numbers)
    # The customers first, for SQLite: it would go through their segment once for each attempt.
    index = rows_of(
        f"SELECT {hex_sql('a.attempt_id')}, c.cid FROM audit_attemptcustomer c CROSS JOIN audit_attempt a "  # noqa: S608
        f"WHERE c.segment = {segment_of(part.first):d} AND c.attempt_id {of_part} AND a.id = c.attempt_id "
        "ORDER BY a.attempt_id"
    )
    events = _events(f"attempt_id IN ({ids})")
    if part.archived:
        listed = [attempt_id for (attempt_id,) in rows_of(f"SELECT {hex_sql('attempt_id')} FROM ({ids}) AS a")]  # noqa: S608
        events = _with_archived(events, part.archived, listed)
    rows = rows_of(rows_query(f"a.id {of_part}", "a.attempt_id"))
    streams = [groupby(stream, itemgetter(0)) for stream in (events, rows, index)]
    ahead = [next(stream, None) for stream in streams]
    while heads := [head[0] for head in ahead if head]:
        attempt_id = min(heads, key=str)  # SQLite keeps whatever somebody wrote there
        groups: list[list[Any]] = [[], [], []]
        for number, head in enumerate(ahead):
            if head and head[0] == attempt_id:
                groups[number] = list(head[1])
                ahead[number] = next(streams[number], None)
        yield attempt_id, (groups[0], [row[1:] for row in groups[1]], [cid for _, cid in groups[2]])


def attempts_without_row(archived: str) -> Iterator[tuple[str, Sides]]:
    """Yield the attempts that have entries, but no row."""
    events = _events(_WITHOUT_ROW)
    if archived:
        rows = rows_of(f"SELECT {hex_sql('attempt_id')} FROM audit_attempt ORDER BY attempt_id")  # noqa: S608
        known = next(rows, None)
        without: list[str] = []
        for attempt_id in archived_attempts(archived):
            while known and str(known[0]) < attempt_id:
                known = next(rows, None)
            if known != (attempt_id,):
                without.append(attempt_id)
        events = _with_archived(events, archived, without)
    for attempt_id, group in groupby(events, itemgetter(0)):
        yield attempt_id, (list(group), [], [])


def _events(condition: str) -> Iterator[Event]:
    return map(Event._make, rows_of(select(Event._fields, condition, "attempt_id, sequence")))


def _with_archived(events: Iterator[Event], archived: str, attempt_ids: list[str]) -> Iterator[Event]:
    of_attempts = entries_by_attempt(archived, attempt_ids)
    return merge((Event(*_event_columns(entry)) for entry in of_attempts), events, key=itemgetter(0))


_event_columns = attrgetter(*Event._fields)


def rows_query(condition: str, order: str) -> str:
    """Return the query for the id, as 32 hex digits, and the FIELDS of attempts' rows, which it calls `a`."""
    columns = (time_sql(f"a.{name}") if name.endswith("_at") else f"a.{name}" for name in FIELDS)
    if connections[DATABASE].vendor == "sqlite":  # which keeps any value, and Python would take what is not 1 for no
        columns = (f"+{column}" if column in _TRUTHS else column for column in columns)
    listed = ", ".join([hex_sql("a.attempt_id"), *columns])
    return f"SELECT {listed} FROM audit_attempt a WHERE {condition} ORDER BY {order}"  # noqa: S608 (constants)
