"""Whether the attempts' rows and the customer index say what the entries say that they were drawn from.

1. An attempt has one row if an entry opens it, and none if none does.
2. What the row says of who asked for what, and when, is what the opening entry says.
3. Its outcome, and whether it is open or owed a Job, is what `services.project` makes of its most trusted event, and
   of RECORDED.
4. The customer index holds the ids of the opening entry, each once, and nothing for attempts that are not there.

Entries, rows and index are three streams in the order of the attempts' ids, so a million attempts take no more memory
than one. All that is written of an attempt at one time is one transaction, so each core looks at its part of the
attempts as they are when it does, and what it doubts is looked at again here.
"""

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from heapq import merge
from itertools import groupby, pairwise
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from audit.chain import DATABASE
from audit.choices import Kind
from audit.models import SEGMENT_ATTEMPTS, Attempt
from audit.proof.archives import entries_by_attempt
from audit.proof.stored import StoredEntry, hex_sql, rows_of, select, time_sql
from audit.services import project
from tmsdash.db.transactions import read_transaction
from tmsdash.processes import cores

if TYPE_CHECKING:  # its pool of processes is loaded by nobody who does not verify
    from tmsdash.cores import Workers

ASKED = ("action_code", "action_name", "cluster_url", "source", "customer_count")
MOVING = ("outcome", "http_status", "error_message", "is_open", "job_owed")
DIGEST = "payload_digest"  # in the bodies of newer entries only
FIELDS = (*ASKED, "user_id", "ip_address", "created_at", *MOVING, "decided_at", DIGEST)
OPENING = frozenset(kind.value for kind in Kind if kind.opens_attempt)
_TRUST = {kind.value: kind.trust for kind in Kind if kind.trust}
_SOME_TIME = datetime(1970, 1, 1, tzinfo=UTC)

MIN_ATTEMPTS = 20_000  # with fewer, it is over before workers have begun
MAX_DOUBTED = 200  # attempts that are looked at again one by one; if there are more, all of their part is
# Where a customer is looked for: what stands elsewhere is not found there.
IN_PLACE = f"a.id = c.attempt_id AND a.id / {SEGMENT_ATTEMPTS} = c.segment"
ORPHANS = f"SELECT count(*) FROM audit_attemptcustomer c LEFT JOIN audit_attempt a ON {IN_PLACE} WHERE a.id IS NULL"  # noqa: S608

Row = Sequence[Any]  # the FIELDS of an attempt's row, times as they are signed
Problem = tuple[str, str]  # where, and what


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
    """The attempts whose id, `{0}`, meets a condition in SQL, and the file of their archived entries."""

    condition: str
    archived: str
    is_small: bool = False


class Checked(NamedTuple):
    """How many attempts of a part were looked at, and the first of those that do not match."""

    attempts: int
    doubted: list[str]


class ProjectionCheck:
    """Compares what was drawn from the entries with the entries; `attempts` counts what was looked at."""

    def __init__(self, on_step: Callable[[int], object], archived: str) -> None:
        """Take the file of archived entries; those of the database are read here."""
        self.attempts = 0
        self._archived = archived
        self._on_step = on_step

    def problems(self, workers: "Workers") -> Iterator[Problem]:
        """Yield what does not match, in the order of the attempts' ids, while a transaction is open."""
        conditions = _conditions()
        if len(conditions) == 1:
            yield from self._problems_of(conditions[0])
        else:
            parts = [Part(condition, self._archived) for condition in conditions]
            for part, checked in workers.answers(check, parts):
                if len(checked.doubted) > MAX_DOUBTED or not all(map(_is_plain, checked.doubted)):
                    yield from self._problems_of(part.condition)
                    continue
                self.attempts += checked.attempts - len(checked.doubted)
                self._on_step(checked.attempts - len(checked.doubted))
                if checked.doubted:
                    few = ", ".join(map(repr, checked.doubted))
                    yield from self._problems_of(f"{{0}} IN ({few})", is_small=True)
        # Index and rows are joined there, so what belongs to no row is not met.
        [(orphans,)] = rows_of(ORPHANS)
        if orphans:
            yield "customer index", f"{orphans:,} rows belong to no attempt."

    def _problems_of(self, condition: str, *, is_small: bool = False) -> Iterator[Problem]:
        for attempt_id, events, rows, cids in _attempts(Part(condition, self._archived, is_small)):
            self.attempts += 1
            self._on_step(1)
            for problem in _understood(events, rows, cids):
                yield f"attempt {_with_dashes(attempt_id)}", problem


def _conditions() -> list[str]:
    """Return what divides the attempts into as many parts of about equal size as there are cores to look at them."""
    [(count,)] = rows_of("SELECT count(*) FROM audit_attempt")
    parts = cores() if count >= MIN_ATTEMPTS else 1
    ids: list[str] = []
    for number in range(1, parts):
        query = (
            f"SELECT {hex_sql('attempt_id')} FROM audit_attempt ORDER BY attempt_id "  # noqa: S608 (constants)
            f"LIMIT 1 OFFSET {count * number // parts}"
        )
        ids += [attempt_id for (attempt_id,) in rows_of(query) if _is_plain(attempt_id)]
    if not ids:
        return ["{0} IS NOT NULL"]
    between = [f"{{0}} >= {first!r} AND {{0}} < {last!r}" for first, last in pairwise(ids)]
    return [f"{{0}} < {ids[0]!r}", *between, f"{{0}} >= {ids[-1]!r}"]


def _is_plain(attempt_id: str) -> bool:
    """Tell whether an id may stand in SQL: SQLite keeps whatever somebody wrote there."""
    return attempt_id.isalnum()


def check(part: Part) -> Checked:
    """Look at a part of the attempts, in a worker."""
    attempts = 0
    doubted: list[str] = []
    with read_transaction(DATABASE):
        for attempt_id, events, rows, cids in _attempts(part):
            attempts += 1
            if any(_understood(events, rows, cids)) and len(doubted) <= MAX_DOUBTED:
                doubted.append(attempt_id)
    return Checked(attempts, doubted)


def _attempts(part: Part) -> Iterator[tuple[str, list[Event], list[Row], list[str]]]:
    """Yield the id of each attempt, in their order, with its events, its rows, and its ids in the index."""
    of_event, of_row = part.condition.format("attempt_id"), part.condition.format("a.attempt_id")
    events: Iterator[Event] = map(Event._make, rows_of(select(Event._fields, of_event, "attempt_id, sequence")))
    if part.archived:
        archived = (_of_event(entry) for entry in entries_by_attempt(part.archived, part.condition))
        events = merge(archived, events, key=itemgetter(0))
    rows = rows_of(rows_query(of_row, "a.attempt_id"))
    # In this order for SQLite: through all of the index once, or through a segment of it for each attempt.
    tables = ["audit_attemptcustomer c", "audit_attempt a"][:: -1 if part.is_small else 1]
    index = rows_of(
        f"SELECT {hex_sql('a.attempt_id')}, c.cid FROM {' CROSS JOIN '.join(tables)} "  # noqa: S608 (constants)
        f"WHERE {IN_PLACE} AND {of_row} ORDER BY a.attempt_id"
    )
    streams = [groupby(stream, itemgetter(0)) for stream in (events, rows, index)]
    ahead = [next(stream, None) for stream in streams]
    while ids := [head[0] for head in ahead if head]:
        attempt_id = min(ids, key=str)  # SQLite keeps whatever somebody wrote there
        groups: list[list[Any]] = [[], [], []]
        for number, head in enumerate(ahead):
            if head and head[0] == attempt_id:
                groups[number] = list(head[1])
                ahead[number] = next(streams[number], None)
        yield attempt_id, groups[0], [row[1:] for row in groups[1]], [cid for _, cid in groups[2]]


def rows_query(condition: str, order: str) -> str:
    """Return the query for the id, as 32 hex digits, and the FIELDS of attempts' rows, which it calls `a`."""
    columns = (time_sql(f"a.{name}") if name.endswith("_at") else f"a.{name}" for name in FIELDS)
    listed = ", ".join([hex_sql("a.attempt_id"), *columns])
    return f"SELECT {listed} FROM audit_attempt a WHERE {condition} ORDER BY {order}"  # noqa: S608 (constants)


def problems_of_attempt(attempt_id: uuid.UUID) -> list[str]:
    """Return a sentence about each way in which one attempt's row and index are not what its entries say."""
    with read_transaction(DATABASE):
        looked_at = _attempts(Part(f"{{0}} = '{attempt_id.hex}'", "", is_small=True))
        return [problem for _, events, rows, cids in looked_at for problem in _understood(events, rows, cids)]


def _understood(events: Sequence[Event | StoredEntry], rows: list[Row], cids: list[str]) -> Iterator[str]:
    """Compare as `compare` does, where somebody may have written anything into the entries."""
    try:
        yield from compare(events, rows, cids)
    except (ValueError, KeyError, TypeError, AttributeError):
        yield "What its entries say cannot be understood."


def compare(events: Sequence[Event | StoredEntry], rows: list[Row], cids: list[str]) -> Iterator[str]:
    """Yield a sentence about everything in which an attempt's row and ids in the index differ from its entries.

    Raises an error if an entry is not understood.
    """
    if not events:
        yield "It has a row, but no entry says so."
        return
    openings = [event for event in events if event.kind in OPENING]
    if not openings:
        yield f"No entry opens it; the first one is entry {events[0].sequence}."
        return
    opening = min(openings, key=attrgetter("sequence"))
    if not rows:
        yield f"Entry {opening.sequence} opens it, but it has no row."
        return
    row, body = tuple(rows[0]), _json_of(opening)
    asked = sorted(body["cids"])
    if sorted(cids) != asked:
        yield f"The customer index does not hold the ids of entry {opening.sequence}: {_difference(cids, asked)}."
    expected = _expected(events, opening, body, row)
    if row != expected:
        for name, value, due in zip(FIELDS, row, expected, strict=True):
            if value != due:
                shown = str(due) if isinstance(due, str) else due  # not the name of a choice
                yield f"Its row says that {name} is {value!r}; the entries say {shown!r}."


def _with_dashes(digits: str) -> str:
    try:
        return str(uuid.UUID(digits))
    except (TypeError, ValueError):  # somebody wrote something else there
        return digits


def _difference(cids: list[str], asked: list[str]) -> str:
    for words, odd in (("it lacks", set(asked) - set(cids)), ("it also holds", set(cids) - set(asked))):
        if odd:
            return f"{words} {min(odd)}" + (f" and {len(odd) - 1:,} others" if len(odd) > 1 else "")
    return "it repeats some"


def _expected(
    events: Sequence[Event | StoredEntry], opening: Event | StoredEntry, body: dict[str, Any], row: Row
) -> tuple[Any, ...]:
    """Return the FIELDS that the row has to hold; those are the row's own that the entries say nothing about."""
    trusts = [_TRUST.get(event.kind, 0) for event in events]
    deciding = events[trusts.index(max(trusts))]
    decided = body if deciding is opening else _json_of(deciding)
    is_recorded = any([event.kind == "RECORDED" for event in events])  # noqa: C419 (twice as quick for a few)
    told = (decided.get("http_status"), decided.get("message"), decided.get("outcome"), decided.get("ruling"))
    *moving, is_decided = _moved(deciding.kind, is_recorded, *told)
    created_at, decided_at = opening.time, deciding.time if is_decided else ""
    if opening.kind == Kind.IMPORTED:
        created_at = decided_at = body["time"]  # not when it was imported
    payload_digest = body.get(DIGEST, row[-1])
    return (*_asked(body), opening.user_id, opening.ip_address, created_at, *moving, decided_at, payload_digest)


_asked = itemgetter(*ASKED)


def _json_of(event: Event | StoredEntry) -> dict[str, Any]:
    body, end = _decoder.raw_decode(event.body)
    if end != len(event.body):
        raise ValueError("There is something behind the JSON.")
    return cast(dict[str, Any], body)


_decoder = json.JSONDecoder()  # `json.loads` looks for blanks around each, of which canonical JSON has none


def _of_event(entry: StoredEntry) -> Event:
    return Event(*_event_columns(entry))


_event_columns = attrgetter(*Event._fields)


@lru_cache(maxsize=10_000)
def _moved(kind: str, is_recorded: bool, http_status: Any, message: Any, outcome: Any, ruling: Any) -> tuple[Any, ...]:
    """Return what `project` makes of the MOVING fields, and whether the attempt is decided, from what the deciding
    event tells: hardly ever anything that no other attempt's has told."""
    attempt = Attempt()
    body = {"http_status": http_status, "message": message, "outcome": outcome, "ruling": ruling}
    # Only whether there is a time matters to `project`; the time itself is compared as text.
    project(attempt, Kind(kind), body, _SOME_TIME)
    if is_recorded:
        project(attempt, Kind.RECORDED, {}, _SOME_TIME)
    return (*(getattr(attempt, name) for name in MOVING), attempt.decided_at is not None)
