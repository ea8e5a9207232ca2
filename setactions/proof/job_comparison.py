"""All Jobs beside all of the audit: what was altered, what is missing, what nobody asked for.

Both are read as streams in the order of the attempts' ids, so that a million Jobs need no more memory than one.
"""

import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from audit.choices import ACCEPTED_OUTCOMES, Kind, Outcome, Source
from audit.customer_index import indexed_cids
from audit.proof.archives import ByAttempt, archived_entries, entries_by_attempt, find_archives
from audit.proof.stored import StoredEntry, hex_of, rows_of, stored_entries
from jobs.signatures import job_is_signed
from jobs.stored import DATABASE, StoredJob, count_customers, jobs_by_id, stored_jobs
from setactions.proof.job_evidence import History, problems_of, read_histories
from tmsdash.db.transactions import read_transaction

STEP = 1000
IDS_AT_ONCE = 100
NOBODY = uuid.UUID(int=0)  # in the place of an id that there is none of, or that cannot be read

Problem = tuple[uuid.UUID, str]  # the id of a Job or a batch, and a sentence


class AttemptRow(NamedTuple):
    """What the audit still holds of an attempt whose entries are in an archive that is not at hand."""

    id: int
    user_id: str
    action_code: int
    action_name: str
    cluster_url: str
    source: str
    customer_count: int
    outcome: str
    job_owed: bool


class JobComparison:
    """Compares each Job with its attempt, and each attempt that has a Job with that.

    `jobs` and `customers` count what was looked at, `unsigned` those Jobs that have no signature, being older than
    these. `unrecorded` are the attempts of Jobs that prove an acceptance which the audit does not know yet.
    """

    def __init__(self, on_step: Callable[[int], None] = lambda rows: None, archive_folder: Path | None = None) -> None:
        self.jobs = self.customers = self.unsigned = 0
        self.unrecorded: list[uuid.UUID] = []
        self._unknown: list[uuid.UUID] = []
        self._all_at_hand = False  # whether no entry is in an archive that is not there
        self._on_step = on_step
        self._archives = find_archives(archive_folder)

    def problems(self) -> Iterator[Problem]:
        """Yield what does not fit. Raises DatabaseError, and ArchiveError if an archive cannot be read."""
        # The audit first: a Job is committed before it is noted as recorded, so that no Job can seem to be missing.
        with ByAttempt() as archived, read_transaction("audit"):
            [(first,)] = rows_of("SELECT min(sequence) FROM audit_auditentry")
            following = 1  # the number of the entry that is to come
            for entry in archived_entries(self._archives, first or sys.maxsize):
                archived.keep(entry)
                following += 1
            self._all_at_hand = following == first
            with read_transaction(DATABASE):
                yield from self._compare(entries_by_attempt(archived.finish()))
        for start in range(0, len(self._unknown), IDS_AT_ONCE):
            yield from _still_unknown(self._unknown[start : start + IDS_AT_ONCE])

    def _compare(self, archived: Iterable[StoredEntry]) -> Iterator[Problem]:
        entries = stored_entries("attempt_id IS NOT NULL", "attempt_id, sequence")
        columns = ", ".join(AttemptRow._fields)
        rows = rows_of(f"SELECT attempt_id, {columns} FROM audit_attempt ORDER BY attempt_id")  # noqa: S608
        streams: Iterator[tuple[str, str, Any]] = merge(
            ((job.job_id, "job", job) for job in stored_jobs()),
            ((entry.attempt_id, "entry", entry) for entry in archived),
            ((entry.attempt_id, "entry", entry) for entry in entries),
            ((hex_of(attempt_id), "row", AttemptRow(*row)) for attempt_id, *row in rows),
            key=itemgetter(0),
        )
        for attempt_id, parts in groupby(streams, key=itemgetter(0)):
            sides: dict[str, list[Any]] = {"job": [], "entry": [], "row": []}
            for _, side, item in parts:
                sides[side].append(item)
            job_id = _uuid(attempt_id)
            for problem in self._problems_of(job_id, sides["job"], History(sides["entry"]), sides["row"]):
                yield job_id, problem
        self._on_step(self.jobs % STEP)
        lost = count_customers() - self.customers
        if lost:
            yield NOBODY, f"{lost:,} rows of customers belong to no Job."

    def _problems_of(
        self, job_id: uuid.UUID, jobs: list[StoredJob], history: History, rows: list[AttemptRow]
    ) -> Iterator[str]:
        for job in jobs:
            self.jobs += 1
            self.customers += len(job.cids)
            self.unsigned += not job.mac
            if self.jobs % STEP == 0:
                self._on_step(STEP)
        if not jobs:
            yield from _missing(history, rows)
        elif len(jobs) > 1:
            yield f"There are {len(jobs):,} Jobs with this id."
        elif not history.entries and rows and self._all_at_hand:
            yield "Its attempt has a row in the audit, but no entry tells of it: somebody wrote both."
        elif not history.entries and rows:
            yield from _archived_problems(jobs[0], rows[0])
        elif not history.entries and job_id != NOBODY:  # it may have been begun after the audit was looked at
            self._unknown.append(job_id)
        elif problems := problems_of(jobs[0], history):
            yield from problems
        elif rows and rows[0].outcome in (Outcome.NOT_APPLIED, Outcome.DECIDED_NOT_APPLIED):
            self.unrecorded.append(job_id)


def _still_unknown(job_ids: list[uuid.UUID]) -> Iterator[Problem]:
    """Look again at Jobs whose attempts were unknown."""
    jobs, histories = jobs_by_id(job_ids), read_histories(job_ids)
    for job_id in job_ids:
        if job_id.hex in jobs:
            for problem in problems_of(jobs[job_id.hex], histories[job_id.hex]):
                yield job_id, problem


def _missing(history: History, rows: list[AttemptRow]) -> Iterator[str]:
    """Yield whether there should be a Job."""
    if Kind.RECORDED in history:
        yield "The audit says that its Job was recorded, and it is not there. Run manage.py reconcile --full."
    elif Kind.IMPORTED in history and rows and rows[0].source == Source.LEGACY:
        yield "The audit says that it was imported, and it is not there. Run manage.py import_legacy again."
    elif not history.entries and rows and rows[0].outcome in ACCEPTED_OUTCOMES and not rows[0].job_owed:
        yield "The audit says that its Job was recorded, and it is not there; its entries are in an archive."


def _archived_problems(job: StoredJob, row: AttemptRow) -> Iterator[str]:
    """Compare a Job with its attempt's row and index: its entries are in an archive that is not at hand."""
    for name in ("user_id", "action_code", "action_name", "cluster_url", "source", "customer_count"):
        if getattr(job, name) != getattr(row, name):
            yield f"Its {name} is {getattr(job, name)!r}; the audit says {getattr(row, name)!r}."
    if sorted(job.cids) != sorted(indexed_cids(row.id, job.cids)):
        yield "Its customers are not what the audit says."
    is_legacy = row.source == Source.LEGACY
    if job.legacy != is_legacy or (row.outcome not in ACCEPTED_OUTCOMES and not is_legacy):
        yield f"Its attempt's row says {str(row.outcome)!r}, from {str(row.source)!r}."
    if job.mac and not job_is_signed(job):
        yield "It was changed after it was written: its signature does not match."


def _uuid(digits: str) -> uuid.UUID:
    try:
        return uuid.UUID(digits)
    except ValueError:  # somebody wrote something else there
        return NOBODY
