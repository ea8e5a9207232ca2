"""What the two files hold, read and judged as a whole before anything is written.

The audit keeps for ever what is imported. So the times, links and names of all rows are settled first, and what looks
wrong is said while it can still be changed.
"""

import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta, tzinfo
from typing import Any

from django.utils import timezone

from audit.legacy import Stored, stored_rows
from audit.selectors import jobs_of_log_row_ids
from jobs.legacy import existing_jobs
from setactions.operations.legacy.matching import link, mark_doubles
from setactions.operations.legacy.names import Names
from setactions.operations.legacy.old_files import OldFile
from setactions.operations.legacy.rows import Entry, entry_of_job, entry_of_log_row
from setactions.operations.legacy.values import BadRowError, cid_of
from tmsdash.db.bulk import parts
from tmsdash.text import counted

CLOCKS_DIFFER = timedelta(minutes=5)

Say = Callable[[str], None]


@dataclass
class FileSurvey:
    """The rows of a file that make sense, by their numbers, and how many there are at all."""

    entries: dict[int, Entry] = field(default_factory=dict)
    rows: int = 0
    bad: int = 0
    known: int = 0
    """Of the rows that make sense, those that were imported earlier."""

    @property
    def customers(self) -> int:
        return sum(entry.customers for entry in self.entries.values())

    def in_words(self, new: int, what: str) -> str:
        """Return the numbers of its rows, `new` of them imported, or to import, as `what` says."""
        return (
            f"{counted(self.rows, 'row')} with {counted(self.customers, 'customer')}, {new:,} {what}, "
            f"{self.rows - self.bad - new:,} there already, {self.bad:,} bad and skipped"
        )


@dataclass
class Survey:
    """Both files. `say` is called with a sentence for each row that is skipped, and for what looks wrong."""

    zone: tzinfo
    users: Names
    clusters: Names
    say: Say
    jobs: FileSurvey = field(default_factory=FileSurvey)
    log: FileSurvey = field(default_factory=FileSurvey)
    linked: int = 0
    """Rows of the log whose facts name their job, or will."""
    unlinked: int = 0
    """Rows of the log that belong to a job, but were imported earlier as facts that do not name it."""
    doubled: int = 0
    stored: dict[uuid.UUID, Stored] = field(default_factory=dict)
    """What the audit has of these rows already."""

    def read(self, jobs: OldFile, log: OldFile) -> None:
        """Read both files. Raises BadFileError, or DatabaseError if ours cannot be read."""
        for file in (jobs, log):
            if file.wal_problem:
                self.say(
                    f"{file.wal_problem} After a clean stop of the old dashboard that is right; otherwise the newest "
                    "rows are missing: stop it, and copy both files."
                )
        jobs.index_customers()
        self._read_jobs(jobs)
        self._read_log(log)
        self._note_what_is_known()
        entries = [*self.jobs.entries.values()]
        link(entries, [*self.log.entries.values()])
        self._count_links()
        self.doubled = mark_doubles(entries)
        for problem in self._doubts():
            self.say(problem)

    def _read_jobs(self, file: OldFile) -> None:
        seen: set[uuid.UUID] = set()
        for number, row in file.rows("jobs"):
            self.jobs.rows += 1
            try:
                cids = tuple(cids_of_job(file, row["job_id"], self.say))
                entry = entry_of_job(number, row, cids, self.zone, self.users, self.clusters)
                if entry.attempt_id in seen:
                    raise BadRowError("its job_id is there twice")
            except BadRowError as error:
                self._skip(self.jobs, f"jobs row {number}: {error}")
                continue
            seen.add(entry.attempt_id)
            self.jobs.entries[number] = entry
        for number in file.customers_of_nothing():
            self.say(f"job_customers row {number}: there is no job with its job_id; skipped")

    def _read_log(self, file: OldFile) -> None:
        for number, row in file.rows("audit_log"):
            self.log.rows += 1
            try:
                self.log.entries[number] = entry_of_log_row(number, row, self.users)
            except BadRowError as error:
                self._skip(self.log, f"audit_log row {number}: {error}")

    def _skip(self, survey: FileSurvey, problem: str) -> None:
        survey.bad += 1
        self.say(f"{problem}; skipped")

    def _note_what_is_known(self) -> None:
        """Find the rows that were imported earlier, and leave out jobs whose ids are those of other jobs here."""
        for part in parts([*self.jobs.entries.values()]):
            jobs = existing_jobs([entry.attempt_id for entry in part])
            for entry in part:
                entry.has_job = entry.attempt_id in jobs
                is_legacy, entry.doubles = jobs.get(entry.attempt_id, (True, None))
                if not is_legacy:
                    del self.jobs.entries[entry.number]
                    self._skip(self.jobs, f"jobs row {entry.number}: a job of this dashboard has its id")
        for part in parts([*self.jobs.entries.values(), *self.log.entries.values()]):
            self.stored |= stored_rows([entry.attempt_id for entry in part])
        self.jobs.known = sum(entry.has_job for entry in self.jobs.entries.values())
        self.log.known = sum(entry.attempt_id in self.stored for entry in self.log.entries.values())

    def _count_links(self) -> None:
        """Count links as the audit has them afterwards: facts that were imported earlier get none any more."""
        rows = {row.attempt_id: row.partner is not None for row in self.log.entries.values()}
        earlier = [row_id for row_id in rows if row_id in self.stored]
        named = {row_id for part in parts(earlier) for row_id in jobs_of_log_row_ids(part)}
        self.unlinked = sum(rows[row_id] and row_id not in named for row_id in earlier)
        self.linked = len(named) + sum(rows[row_id] for row_id in rows.keys() - self.stored.keys())

    # -- What looks wrong ---------------------------------------------------------------------------------------------

    def _doubts(self) -> Iterator[str]:
        jobs, log = [*self.jobs.entries.values()], [*self.log.entries.values()]
        if left_out := [job for job in jobs if job.moment.is_left_out]:
            yield (
                f"{counted(len(left_out), 'job')} {'has' if len(left_out) == 1 else 'have'} a time that clocks in "
                f"{self.zone} skipped when they were put forward, such as {_example(left_out[0])}. Is --time-zone "
                "right?"
            )
        if shown_twice := [job for job in jobs if job.moment.is_shown_twice]:
            by_link = sum(job.partner is not None for job in shown_twice)
            placed = [f"{by_link:,} by the row of the audit log that belongs to it"] * bool(by_link)
            if by_order := len(shown_twice) - by_link:
                placed.append(f"{by_order:,} by the order of rows, and in the first hour where that says nothing")
            second = sum(job.instant != job.moment.instants[0] for job in shown_twice)
            yield (
                f"{counted(len(shown_twice), 'job')} in an hour that clocks in {self.zone} showed twice, because they "
                f"were put back. Placed: {'; '.join(placed)}. In the second hour: {second:,}. The first job is "
                f"{_example(shown_twice[0])}."
            )
        until = timezone.now() + CLOCKS_DIFFER
        for table, entries in (("jobs", jobs), ("audit_log", log)):
            if future := [entry for entry in entries if entry.instant > until]:
                yield (
                    f"{table}: {counted(len(future), 'row')} in the future, such as {_example(future[0])}. Are "
                    "--time-zone and this machine's clock right?"
                )
        if not any(job.partner for job in jobs) and not set(map(_asked_for, jobs)).isdisjoint(map(_asked_for, log)):
            yield (
                "No job has a row of the audit log within seconds of it, although the same was asked for in both. "
                "Is --time-zone right?"
            )
        yield from self._differences([*jobs, *log])

    def _differences(self, entries: Iterable[Entry]) -> Iterator[str]:
        """Yield how many rows were imported earlier as something else than they are now."""
        known = [(entry, self.stored[entry.attempt_id]) for entry in entries if entry.attempt_id in self.stored]
        for what, count in (
            ("time", sum(stored.at != entry.instant for entry, stored in known)),
            ("user", sum(stored.user_id != entry.user_id for entry, stored in known)),
            ("cluster", sum(stored.cluster_url != entry.cluster_url for entry, stored in known)),
        ):
            if count:
                yield (
                    f"Rows that were imported earlier with another {what} than today's import gives: {count:,}. What "
                    "is in the audit stays; docs/operating.md says what can be done (Moving from the old dashboard)."
                )


def cids_of_job(file: OldFile, job_id: Any, say: Say) -> Iterator[str]:
    """Yield the customers of a job, each once, in their order."""
    seen: set[str] = set()
    for number, value in file.customers_of(job_id):
        try:
            cid = cid_of(value)
        except BadRowError as error:
            say(f"job_customers row {number}: {error}; skipped")
            continue
        if cid not in seen:
            seen.add(cid)
            yield cid


def _asked_for(entry: Entry) -> tuple[object, ...]:
    return entry.user_id, entry.action_code, entry.cids_digest


def _example(entry: Entry) -> str:
    return f"row {entry.number}: {entry.time_in_words}"
