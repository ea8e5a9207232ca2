"""Whether the attempts' rows and the customer index say what the entries say that they were drawn from.

1. An attempt has one row if an entry opens it, and none if none does.
2. What the row says of who asked for what, and when, is what the opening entry says.
3. Its outcome, and whether it is open or owed a Job, is what `services.project` makes of its most trusted event, and
   of RECORDED.
4. The customer index holds the ids of the opening entry, each once, and nothing for attempts that are not there.

All that is written of an attempt at one time is one transaction, so each core looks at parts of the attempts as they
are when it does; where it finds something, the part is looked at again here.
"""

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, cast

from django.db import Error as AnyDatabaseError

from audit.chain import DATABASE
from audit.choices import Kind
from audit.models import SEGMENT_ATTEMPTS, Attempt
from audit.proof.parts import (
    ASKED,
    DIGEST,
    FIELDS,
    MOVING,
    NOTE,
    Event,
    Part,
    Row,
    Sides,
    attempts_of,
    attempts_without_row,
    parts,
)
from audit.proof.stored import StoredEntry, rows_of
from audit.services import project
from tmsdash.db.transactions import read_transaction
from tmsdash.processes import cores

if TYPE_CHECKING:  # its pool of processes is loaded by nobody who does not verify
    from tmsdash.cores import Workers

OPENING = frozenset(kind.value for kind in Kind if kind.opens_attempt)
_TRUST = {kind.value: kind.trust for kind in Kind if kind.trust}
_SOME_TIME = datetime(1970, 1, 1, tzinfo=UTC)

MIN_ATTEMPTS = 20_000  # with fewer, it is over before workers have begun
# Where a customer is looked for: what stands elsewhere is not found there.
IN_PLACE = f"a.id = c.attempt_id AND a.id / {SEGMENT_ATTEMPTS} = c.segment"
ORPHANS = f"SELECT count(*) FROM audit_attemptcustomer c LEFT JOIN audit_attempt a ON {IN_PLACE} WHERE a.id IS NULL"  # noqa: S608

Problem = tuple[str, str]  # where, and what
# What Python raises for JSON that is none of ours. A body may also be nested too deep to be read.
NOT_UNDERSTOOD = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


class ProjectionCheck:
    """Compares what was drawn from the entries with the entries; `attempts` counts what was looked at."""

    def __init__(self, on_step: Callable[[int], object], archived: str) -> None:
        """Take the file of archived entries; those of the database are read here."""
        self.attempts = 0
        self._archived = archived
        self._on_step = on_step

    def problems(self, workers: "Workers") -> Iterator[Problem]:
        """Yield what does not match, in the order of the attempts' rows, while a transaction is open."""
        [(count,)] = rows_of("SELECT count(*) FROM audit_attempt")
        if cores() == 1 or count < MIN_ATTEMPTS:
            for part in parts(self._archived):
                yield from self._problems_of(attempts_of(part))
        else:
            for part, attempts in workers.answers(count_whole, parts(self._archived)):
                if attempts is None:
                    yield from self._problems_of(attempts_of(part))
                else:
                    self._count(attempts)
        yield from self._problems_of(attempts_without_row(self._archived))
        # Index and rows are joined there, so what belongs to no row is not met.
        [(orphans,)] = rows_of(ORPHANS)
        if orphans:
            yield "customer index", f"{orphans:,} rows belong to no attempt."

    def _problems_of(self, attempts: Iterator[tuple[str, Sides]]) -> Iterator[Problem]:
        for attempt_id, sides in attempts:
            self._count(1)
            for problem in _understood(*sides):
                yield f"attempt {_with_dashes(attempt_id)}", problem

    def _count(self, attempts: int) -> None:
        self.attempts += attempts
        self._on_step(attempts)


def count_whole(part: Part) -> int | None:
    """Return how many attempts a part has, in a worker; None if there is anything to be said about one of them."""
    count = 0
    try:
        with read_transaction(DATABASE):
            for _, sides in attempts_of(part):
                if any(_understood(*sides)):
                    return None
                count += 1
    except (AnyDatabaseError, *NOT_UNDERSTOOD):  # whoever reads it again says what is wrong
        return None
    return count


def problems_of_attempt(attempt_id: uuid.UUID) -> list[str]:
    """Return a sentence about each way in which one attempt's row and index are not what its entries say."""
    with read_transaction(DATABASE):
        key = Attempt.objects.filter(attempt_id=attempt_id).values_list("pk", flat=True).first()
        looked_at = attempts_of(Part(key, key)) if key else attempts_without_row("")
        of_attempt = (sides for digits, sides in looked_at if digits == attempt_id.hex)
        return [problem for sides in of_attempt for problem in _understood(*sides)]


def _understood(events: Sequence[Event | StoredEntry], rows: list[Row], cids: list[str]) -> Iterator[str]:
    """Compare as `compare` does, where somebody may have written anything into the entries."""
    try:
        yield from compare(events, rows, cids)
    except NOT_UNDERSTOOD:
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
    except (TypeError, ValueError, AttributeError):  # somebody wrote something else there
        return str(digits)


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
    optional = body.get(NOTE, ""), body.get(DIGEST, row[-1])
    return (*_asked(body), opening.user_id, opening.ip_address, created_at, *moving, decided_at, *optional)


_asked = itemgetter(*ASKED)


def _json_of(event: Event | StoredEntry) -> dict[str, Any]:
    body, end = _decoder.raw_decode(event.body)
    if end != len(event.body):
        raise ValueError("There is something behind the JSON.")
    return cast(dict[str, Any], body)


_decoder = json.JSONDecoder()  # `json.loads` looks for blanks around each, of which canonical JSON has none


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
