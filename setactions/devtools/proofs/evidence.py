"""What the judge looks at: the calls that TMS received, the two database files, and what clients were shown.

Read with plain SQL from read-only files: this shares no code with what is judged, so that a mistake
there cannot hide itself here.
"""

import json
import sqlite3
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from setactions.devtools.simulator import Call

# The kinds of events that tell an outcome, the most trusted first.
TRUST = ("REFUSED", "ACCEPTED", "REJECTED", "NOT_SENT", "APPLIED", "NOT_APPLIED", "DECIDED", "UNKNOWN", "INTENT")
YES = frozenset({"accepted", "applied", "decided_applied"})
NO = frozenset({"rejected", "not_sent", "not_applied", "decided_not_applied", "refused"})
ACTION_CODES = {"trans-begin": 1, "tran-begin": 1, "pe-enable": 2, "t-enable": 3, "pe-finalize": 4, "pe-direct": 5}

Ask = tuple[int, tuple[str, ...]]
"""An action's code (0 if it is not known) and the ids that it is asked for, in order."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a client was told of an attempt. `recorded`: that its Job can be read, not only that it will be there."""

    attempt_id: str
    outcome: str
    job_id: str | None = None
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the audit; `number` counts in the order of writing."""

    number: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """The row that sums an attempt up, and the customers that are indexed with it."""

    outcome: str
    is_open: bool
    job_owed: bool
    customer_count: int
    cids: tuple[str, ...]


@dataclass(slots=True)
class Attempt:
    """An attempt as its events tell it."""

    attempt_id: str
    events: dict[str, Event] = field(default_factory=dict)
    repeated: list[str] = field(default_factory=list)
    """Kinds that are there more than once."""
    summary: SummaryRow | None = None

    @property
    def outcome(self) -> str:
        """What the most trusted event says; empty if there is none."""
        kind = next((kind for kind in TRUST if kind in self.events), "")
        if kind == "DECIDED":
            return f"decided_{self.events[kind].body['ruling']}"
        return "pending" if kind == "INTENT" else kind.lower()

    @property
    def owes_job(self) -> bool:
        """Whether it was accepted and no Job is recorded for it."""
        return self.outcome in YES and "RECORDED" not in self.events

    @property
    def is_open(self) -> bool:
        """Whether there is something left to be found out or to be done."""
        return self.outcome not in YES | NO or self.owes_job

    @property
    def cids(self) -> tuple[str, ...]:
        """The customers, in the order in which they were to be sent."""
        opening = self.events.get("INTENT") or self.events.get("REFUSED")
        return tuple(opening.body["cids"]) if opening else ()

    @property
    def ask(self) -> Ask:
        """What it asks for."""
        return code_of(self.events["INTENT"].body["action_name"]), self.cids

    @property
    def ended(self) -> float:
        """The number of the event from which on it cannot change a customer any more; infinite while that is open."""
        numbers = [event.number for kind, event in self.events.items() if kind not in ("INTENT", "UNKNOWN", "RECORDED")]
        return min(numbers, default=float("inf"))


@dataclass(frozen=True, slots=True)
class Job:
    """A Job with its customers as (position, id) in order."""

    job_id: str
    action_name: str
    customer_count: int
    evidence: str
    payload_cids: tuple[str, ...]
    customers: tuple[tuple[int, str], ...]

    @property
    def ask(self) -> Ask:
        """What it says was accepted."""
        return code_of(self.action_name), tuple(cid for _, cid in self.customers)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that is judged."""

    calls: Sequence[Call]
    """The set/action calls, and no others, that arrived whole."""
    cut_off: int
    """How many did not: the caller died while sending, so that TMS did not even learn what they were for."""
    attempts: dict[str, Attempt]
    jobs: Sequence[Job]
    shown: Sequence[Shown] = ()
    damage: Sequence[str] = ()
    """What SQLite finds wrong with the files themselves."""


def code_of(action_name: str) -> int:
    """Return TMS's code of an action however it is spelled, 0 if it is not known."""
    return ACTION_CODES.get(action_name.lower(), 0)


def read_evidence(calls: Iterable[Call], jobs_file: Path, audit_file: Path, shown: Iterable[Shown] = ()) -> Evidence:
    """Read both database files, while nobody writes to them; calls other than set/action are left out.

    Raises sqlite3.Error if a file is missing or has not the tables.
    """
    with closing(open_read_only(jobs_file)) as jobs, closing(open_read_only(audit_file)) as audit:
        damage = [*_damage(jobs_file.name, jobs), *_damage(audit_file.name, audit)]
        received = [call for call in calls if call.method == "POST" and call.path.endswith("/set/action")]
        whole = [call for call in received if call.action or call.cids or call.applied]
        cut_off = len(received) - len(whole)
        return Evidence(whole, cut_off, _read_attempts(audit), _read_jobs(jobs), list(shown), damage)


def open_read_only(file: Path) -> sqlite3.Connection:
    """Open a database file that must be there already."""
    return sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)


def _damage(name: str, database: sqlite3.Connection) -> list[str]:
    problems = [text for (text,) in database.execute("PRAGMA integrity_check") if text != "ok"]
    orphans = [f"a row of {table} refers to nothing" for table, *_ in database.execute("PRAGMA foreign_key_check")]
    return [f"{name}: {text}" for text in problems + orphans]


def _read_attempts(audit: sqlite3.Connection) -> dict[str, Attempt]:
    attempts: dict[str, Attempt] = {}
    entries = "SELECT sequence, attempt_id, kind, body FROM audit_auditentry WHERE attempt_id IS NOT NULL"
    for number, hex_id, kind, body in audit.execute(f"{entries} ORDER BY sequence"):
        attempt = attempts.setdefault(hex_id, Attempt(str(uuid.UUID(hex_id))))
        if kind in attempt.events:
            attempt.repeated.append(kind)
        else:
            attempt.events[kind] = Event(number, json.loads(body))
    customers: defaultdict[int, list[str]] = defaultdict(list)
    for row_id, cid in audit.execute("SELECT attempt_id, cid FROM audit_attemptcustomer ORDER BY cid"):
        customers[row_id].append(cid)
    rows = "SELECT id, attempt_id, outcome, is_open, job_owed, customer_count FROM audit_attempt"
    for row_id, hex_id, outcome, is_open, job_owed, count in audit.execute(rows):
        attempt = attempts.setdefault(hex_id, Attempt(str(uuid.UUID(hex_id))))
        attempt.summary = SummaryRow(outcome, bool(is_open), bool(job_owed), count, tuple(customers[row_id]))
    return {attempt.attempt_id: attempt for attempt in attempts.values()}


def _read_jobs(jobs: sqlite3.Connection) -> list[Job]:
    customers: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
    for row_id, position, cid in jobs.execute("SELECT job_id, position, cid FROM jobs_jobcustomer ORDER BY position"):
        customers[row_id].append((position, cid))
    rows = "SELECT id, job_id, action_name, customer_count, evidence, request_payload FROM jobs_job ORDER BY id"
    return [
        Job(
            job_id=str(uuid.UUID(hex_id)),
            action_name=action_name,
            customer_count=count,
            evidence=evidence,
            payload_cids=tuple(json.loads(payload).get("cids", (cid for _, cid in customers[row_id]))),
            customers=tuple(customers[row_id]),
        )
        for row_id, hex_id, action_name, count, evidence, payload in jobs.execute(rows)
    ]
