"""Whether the attempts' rows and the customer index say what the entries say that they were drawn from."""

import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Any

from audit.chain import DATABASE
from audit.choices import Kind
from audit.models import Attempt
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
STEP = 1000
_SOME_TIME = datetime(1970, 1, 1, tzinfo=UTC)

Problem = tuple[str, str]  # where, and what


class ProjectionCheck:
    """Compares what was drawn from the entries with them; `attempts` counts what was looked at."""

    def __init__(self, on_step: Callable[[int], None], archived: Iterable[StoredEntry] = ()) -> None:
        """Take entries besides those of the database, in the order of their attempts' ids."""
        self.attempts = 0
        self._archived = archived
        self._on_step = on_step

    def problems(self) -> Iterator[Problem]:
        """Read events, rows and index in the order of the attempts' ids, and yield what does not fit together."""
        by_attempt: Iterator[tuple[str, str, Any]] = merge(
            _events(self._archived),
            _events(stored_entries("attempt_id IS NOT NULL", "attempt_id, sequence")),
            _rows(),
            _index(),
            key=itemgetter(0),
        )
        indexed, scratch = 0, Attempt()  # making a model for each would take a fifth of the time
        for attempt_id, parts in groupby(by_attempt, key=itemgetter(0)):
            self.attempts += 1
            if self.attempts % STEP == 0:
                self._on_step(STEP)
            of: dict[str, list[Any]] = {"event": [], "row": [], "customer": []}
            for _, what, part in parts:
                of[what].append(part)
            indexed += len(of["customer"])
            where = f"attempt {_with_dashes(attempt_id)}"
            try:
                for problem in compare(scratch, of["event"], of["row"], of["customer"]):
                    yield where, problem
            except (ValueError, KeyError, TypeError, AttributeError):
                yield where, "What its entries say cannot be understood."
        self._on_step(self.attempts % STEP)
        [(all_indexed,)] = rows_of("SELECT count(*) FROM audit_attemptcustomer")
        if all_indexed != indexed:
            yield "customer index", f"{all_indexed - indexed:,} rows belong to no attempt."


def problems_of_attempt(attempt_id: uuid.UUID) -> list[str]:
    """Return a sentence on each way in which one attempt's row and index are not what its entries say."""
    condition = f"attempt_id = '{attempt_id.hex}'"
    index = f"SELECT cid FROM audit_attemptcustomer WHERE attempt_id = (SELECT id FROM audit_attempt WHERE {condition})"  # noqa: S608
    with read_transaction(DATABASE):
        entries = list(stored_entries(condition))
        rows = list(rows_of(f"SELECT {', '.join(FIELDS)} FROM audit_attempt WHERE {condition}"))  # noqa: S608
        cids = [cid for (cid,) in rows_of(index)]
    try:
        return [*compare(Attempt(), entries, rows, cids)]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ["What its entries say cannot be understood."]


def _events(entries: Iterable[StoredEntry]) -> Iterator[tuple[str, str, StoredEntry]]:
    for entry in entries:
        yield entry.attempt_id, "event", entry


def _rows() -> Iterator[tuple[str, str, tuple[Any, ...]]]:
    for row in rows_of(f"SELECT attempt_id, {', '.join(FIELDS)} FROM audit_attempt ORDER BY attempt_id"):  # noqa: S608
        yield hex_of(row[0]), "row", row[1:]


def _index() -> Iterator[tuple[str, str, str]]:
    query = (
        "SELECT a.attempt_id, c.cid FROM audit_attemptcustomer c JOIN audit_attempt a ON a.id = c.attempt_id "
        "ORDER BY a.attempt_id"
    )
    for attempt_id, cid in rows_of(query):
        yield hex_of(attempt_id), "customer", cid


def compare(
    attempt: Attempt, entries: list[StoredEntry], rows: list[tuple[Any, ...]], cids: list[str]
) -> Iterator[str]:
    """Yield what does not fit together of an attempt's entries, its row and its ids in the index."""
    if not entries:
        yield "It has a row, but no entry tells of it."
        return
    opening = min(entries, key=lambda entry: (entry.kind not in OPENING, entry.sequence))
    if opening.kind not in OPENING:
        yield f"No entry opens it; the first one is entry {entries[0].sequence}."
        return
    if not rows:
        yield f"Entry {opening.sequence} tells of it, but it has no row."
        return
    body = json.loads(opening.body)
    wanted = sorted(body["cids"])
    if sorted(cids) != wanted:
        yield f"The customer index does not hold the ids of entry {opening.sequence}: {_difference(cids, wanted)}."
    expected, found = _expected(attempt, entries, opening, body), dict(zip(FIELDS, rows[0], strict=True))
    for name, value in expected.items():
        if _as_stored(name, found[name]) != value:
            shown = str(value) if isinstance(value, str) else value  # not the name of a choice
            yield f"Its row says that {name} is {found[name]!r}; the entries say {shown!r}."


def _with_dashes(digits: str) -> str:
    try:
        return str(uuid.UUID(digits))
    except ValueError:  # somebody wrote something else there
        return digits


def _difference(cids: list[str], wanted: list[str]) -> str:
    for words, some in (("without", set(wanted) - set(cids)), ("besides", set(cids) - set(wanted))):
        if some:
            return f"{words} {min(some)}" + (f" and {len(some) - 1:,} others" if len(some) > 1 else "")
    return "with repeats"


def _expected(
    attempt: Attempt, entries: list[StoredEntry], opening: StoredEntry, body: dict[str, Any]
) -> dict[str, Any]:
    """Return what the row has to hold, by the names of its fields; `attempt` is one to work with."""
    attempt.outcome, attempt.job_owed = "", False
    deciding = max((entry for entry in entries if entry.kind in _TRUST), key=lambda entry: _TRUST[entry.kind])
    told = body if deciding is opening else json.loads(deciding.body)
    # Only whether there is a time matters to `project`; the time itself is compared as text.
    project(attempt, Kind(deciding.kind), told, _SOME_TIME)
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
