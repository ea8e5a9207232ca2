"""Whether the attempts' rows and the customer index say what the entries say that they were drawn from.

1. An attempt has one row if an entry opens it, and none if none does.
2. What the row says of who asked for what, and when, is what the opening entry says.
3. Its outcome, and whether it is open or owed a Job, is what `services.project` makes of its most trusted event, and
   of RECORDED.
4. The customer index holds the ids of the opening entry, each once, and nothing for attempts that are not there.

Entries, rows and index are three streams in the order of the attempts' ids, so a million attempts take no more memory
than one.
"""

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Any

from audit.chain import DATABASE
from audit.choices import Kind
from audit.models import SEGMENT_ATTEMPTS, Attempt
from audit.proof.stored import StoredEntry, hex_of, rows_of, stored_entries, time_of
from audit.services import project
from tmsdash.db.transactions import read_transaction

FIXED = ("user_id", "action_code", "action_name", "cluster_url", "source", "ip_address", "customer_count")
MOVING = ("outcome", "http_status", "error_message", "is_open", "job_owed")
TIMES = ("created_at", "decided_at")
DIGESTS = ("payload_digest", "list_digest")  # in the bodies of newer entries only
FIELDS = (*FIXED, *MOVING, *TIMES, *DIGESTS)
FLAGS = frozenset({"is_open", "job_owed"})
OPENING = frozenset(kind for kind in Kind if kind.opens_attempt)
_TRUST = {kind.value: kind.trust for kind in Kind if kind.trust}
_SOME_TIME = datetime(1970, 1, 1, tzinfo=UTC)

Problem = tuple[str, str]  # where, and what


class ProjectionCheck:
    """Compares what was drawn from the entries with the entries; `attempts` counts what was looked at."""

    def __init__(self, on_step: Callable[[int], object], archived: Iterable[StoredEntry] = ()) -> None:
        """Take archived entries, in the order of their attempts' ids; those of the database are read here."""
        self.attempts = 0
        self._archived = archived
        self._on_step = on_step

    def problems(self) -> Iterator[Problem]:
        """Yield what does not match, in the order of the attempts' ids, while a transaction is open."""
        rows = f"SELECT attempt_id, {', '.join(FIELDS)} FROM audit_attempt ORDER BY attempt_id"  # noqa: S608
        index = (
            "SELECT a.attempt_id, c.cid FROM audit_attemptcustomer c JOIN audit_attempt a ON a.id = c.attempt_id "
            "ORDER BY a.attempt_id"
        )
        stored = stored_entries("attempt_id IS NOT NULL", "attempt_id, sequence")
        by_attempt: Iterator[tuple[str, str, Any]] = merge(
            ((entry.attempt_id, "event", entry) for entry in self._archived),
            ((entry.attempt_id, "event", entry) for entry in stored),
            ((hex_of(attempt_id), "row", row) for attempt_id, *row in rows_of(rows)),
            ((hex_of(attempt_id), "customer", cid) for attempt_id, cid in rows_of(index)),
            key=itemgetter(0),
        )
        indexed, scratch = 0, Attempt()  # making a model for each would take a fifth of the time
        for attempt_id, group in groupby(by_attempt, key=itemgetter(0)):
            self.attempts += 1
            self._on_step(1)
            parts: dict[str, list[Any]] = {"event": [], "row": [], "customer": []}
            for _, what, part in group:
                parts[what].append(part)
            indexed += len(parts["customer"])
            for problem in _understood(scratch, parts["event"], parts["row"], parts["customer"]):
                yield f"attempt {_with_dashes(attempt_id)}", problem
        # The stream of the index joins it with the rows, so what belongs to no row shows in the count alone.
        [(all_indexed,)] = rows_of("SELECT count(*) FROM audit_attemptcustomer")
        if all_indexed != indexed:
            yield "customer index", f"{all_indexed - indexed:,} rows belong to no attempt."


def problems_of_attempt(attempt_id: uuid.UUID) -> list[str]:
    """Return a sentence about each way in which one attempt's row and index are not what its entries say."""
    condition = f"attempt_id = '{attempt_id.hex}'"
    # Among all rows of its segment, for there may be some that do not belong there.
    index = (
        "SELECT c.cid FROM audit_attempt a JOIN audit_attemptcustomer c "  # noqa: S608 (constants)
        f"ON c.segment = a.id / {SEGMENT_ATTEMPTS} AND c.attempt_id = a.id WHERE a.{condition}"
    )
    with read_transaction(DATABASE):
        entries = list(stored_entries(condition))
        rows: list[Sequence[Any]] = list(rows_of(f"SELECT {', '.join(FIELDS)} FROM audit_attempt WHERE {condition}"))  # noqa: S608
        cids = [cid for (cid,) in rows_of(index)]
    return [*_understood(Attempt(), entries, rows, cids)]


def _understood(
    attempt: Attempt, entries: list[StoredEntry], rows: list[Sequence[Any]], cids: list[str]
) -> Iterator[str]:
    """Compare as `compare` does, where somebody may have written anything into the entries."""
    try:
        yield from compare(attempt, entries, rows, cids)
    except (ValueError, KeyError, TypeError, AttributeError):
        yield "What its entries say cannot be understood."


def compare(attempt: Attempt, entries: list[StoredEntry], rows: list[Sequence[Any]], cids: list[str]) -> Iterator[str]:
    """Yield a sentence about everything in which an attempt's row and ids in the index differ from its entries.

    `attempt` is one to work with, whatever it holds. Raises an error if an entry is not understood.
    """
    if not entries:
        yield "It has a row, but no entry says so."
        return
    opening = min(entries, key=lambda entry: (entry.kind not in OPENING, entry.sequence))
    if opening.kind not in OPENING:
        yield f"No entry opens it; the first one is entry {entries[0].sequence}."
        return
    if not rows:
        yield f"Entry {opening.sequence} opens it, but it has no row."
        return
    body = json.loads(opening.body)
    asked = sorted(body["cids"])
    if sorted(cids) != asked:
        yield f"The customer index does not hold the ids of entry {opening.sequence}: {_difference(cids, asked)}."
    row = dict(zip(FIELDS, rows[0], strict=True))
    for name, value in _expected(attempt, entries, opening, body).items():
        if _as_stored(name, row[name]) != value:
            shown = str(value) if isinstance(value, str) else value  # not the name of a choice
            yield f"Its row says that {name} is {row[name]!r}; the entries say {shown!r}."


def _with_dashes(digits: str) -> str:
    try:
        return str(uuid.UUID(digits))
    except ValueError:  # somebody wrote something else there
        return digits


def _difference(cids: list[str], asked: list[str]) -> str:
    for words, odd in (("it lacks", set(asked) - set(cids)), ("it also holds", set(cids) - set(asked))):
        if odd:
            return f"{words} {min(odd)}" + (f" and {len(odd) - 1:,} others" if len(odd) > 1 else "")
    return "it repeats some"


def _expected(
    attempt: Attempt, entries: list[StoredEntry], opening: StoredEntry, body: dict[str, Any]
) -> dict[str, Any]:
    """Return what the row has to hold, by the names of its fields."""
    attempt.outcome, attempt.job_owed = "", False
    deciding = max((entry for entry in entries if entry.kind in _TRUST), key=lambda entry: _TRUST[entry.kind])
    decided = body if deciding is opening else json.loads(deciding.body)
    # Only whether there is a time matters to `project`; the time itself is compared as text.
    project(attempt, Kind(deciding.kind), decided, _SOME_TIME)
    if any(entry.kind == Kind.RECORDED for entry in entries):
        project(attempt, Kind.RECORDED, {}, _SOME_TIME)
    expected = {name: body[name] for name in FIXED if name not in ("user_id", "ip_address")}
    expected |= {"user_id": opening.user_id, "ip_address": opening.ip_address, "created_at": opening.time}
    expected |= {name: getattr(attempt, name) for name in MOVING}
    expected["decided_at"] = deciding.time if attempt.decided_at else ""
    if opening.kind == Kind.IMPORTED:
        expected |= dict.fromkeys(TIMES, body["time"])  # not when it was imported
    return expected | {name: body[name] for name in DIGESTS if name in body}


def _as_stored(name: str, value: Any) -> Any:
    if name in TIMES:
        return time_of(value)
    return bool(value) if name in FLAGS else value
