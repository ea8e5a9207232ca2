"""The import: each old row becomes a fact in the audit and each old job a Job, all marked as the old dashboard's."""

import sqlite3
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from pathlib import Path
from typing import Any

from audit.choices import Action, Outcome, Source
from audit.digests import digest
from audit.legacy import Imported, record_imported
from audit.models import USER_ID_LENGTH
from jobs.legacy import LegacyJob, create_legacy_jobs, other_jobs
from jobs.models import Job
from setactions.operations.legacy import old_files
from setactions.operations.legacy.old_files import AUDIT, JOBS, BadRowError, Row, text_of, without_secrets
from setactions.tms.spellings import find_action
from tmsdash.text import one_line

ROWS_AT_ONCE = 200
DOUBLED_WITHIN = timedelta(seconds=2)
SUCCESS_WORDS = frozenset({"success", "succeeded", "successful", "completed", "complete", "accepted", "ok", "done"})
FAILURE_WORDS = frozenset({"failure", "failed", "fail", "error", "rejected"})

Say = Callable[[str], None]
UserMap = dict[str, str]


@dataclass
class Counts:
    """How many rows of a file were imported, and what became of the others."""

    rows: int = 0
    imported: int = 0
    customers: int = 0
    doubled: int = 0
    bad: int = 0

    @property
    def there_already(self) -> int:
        return self.rows - self.imported - self.bad


@dataclass
class Importer:
    """Imports the two files. `say` is called with a sentence for each row that is skipped."""

    zone: tzinfo
    users: UserMap
    imported_by: str
    say: Say
    jobs: Counts = field(default_factory=Counts)
    log: Counts = field(default_factory=Counts)

    def import_jobs(self, path: Path) -> None:
        """Import the jobs; a time without an offset is UTC there. Raises BadFileError or DatabaseError."""
        with old_files.opened(path, JOBS) as database:
            old_files.index_customers(database)
            rows = self._jobs(database)
            while part := list(islice(rows, ROWS_AT_ONCE)):
                ours = other_jobs([job.job_id for _, job, _ in part])
                for number, job, _ in part:
                    if job.job_id in ours:
                        self._skip(self.jobs, f"jobs row {number}: a job of this dashboard has its id")
                good = [(job, fact) for _, job, fact in part if job.job_id not in ours]
                record_imported([fact for _, fact in good], self.imported_by)
                self.jobs.imported += create_legacy_jobs([job for job, _ in good])
            for number in old_files.customers_of_nothing(database):
                self.say(f"job_customers row {number}: there is no job with its job_id; skipped")

    def import_log(self, path: Path) -> None:
        """Import the audit log, whose times are local. Raises BadFileError or DatabaseError."""
        with old_files.opened(path, AUDIT) as database:
            rows = self._log(old_files.rows_of(database, "audit_log"))
            while part := list(islice(rows, ROWS_AT_ONCE)):
                self.log.imported += record_imported(part, self.imported_by)

    def _skip(self, counts: Counts, problem: str) -> None:
        counts.bad += 1
        self.say(f"{problem}; skipped")

    # -- Jobs -----------------------------------------------------------------------------------------------------

    def _jobs(self, database: sqlite3.Connection) -> Iterator[tuple[int, LegacyJob, Imported]]:
        """Yield what each row becomes, with its number."""
        lately: dict[str, tuple[datetime, uuid.UUID]] = {}
        seen: set[uuid.UUID] = set()
        for number, row in old_files.rows_of(database, "jobs"):
            self.jobs.rows += 1
            cids = tuple(dict.fromkeys(self._cids(old_files.customers_of(database, row["job_id"]))))
            try:
                job = self._job(row, cids)
                if job.job_id in seen:
                    raise BadRowError("its job_id is there twice")
            except BadRowError as error:
                self._skip(self.jobs, f"jobs row {number}: {error}")
                continue
            seen.add(job.job_id)
            asked_for = digest([job.user_id, job.action_code, sorted(cids)])
            before = lately.get(asked_for)
            if before and abs(job.created_at - before[0]) <= DOUBLED_WITHIN:
                job = replace(job, doubles=before[1])
                self.jobs.doubled += 1
            else:
                lately[asked_for] = job.created_at, job.job_id
            self.jobs.customers += len(cids)
            yield number, job, self._fact_of(row, job)

    def _cids(self, rows: Iterable[tuple[int, Any]]) -> Iterator[str]:
        for number, value in rows:
            try:
                yield old_files.cid_of(value)
            except BadRowError as error:
                self.say(f"job_customers row {number}: {error}; skipped")

    def _job(self, row: Row, cids: tuple[str, ...]) -> LegacyJob:
        action = _action(row["action_code"], row["action_name"])
        if action is None:
            raise BadRowError(f"{str(row['action_code'])[:20]!r}, {str(row['action_name'])[:40]!r} is no action")
        return LegacyJob(
            job_id=old_files.id_of(row["job_id"]),
            user_id=self._user(row["user_id"]),
            batch_id=old_files.uuid_or_none(row["batch_id"]),
            action_code=action.value,
            action_name=action.label,
            cluster_url=one_line(str(row["cluster_url"] or ""), 300),
            created_at=old_files.time_of(row["created_at"], UTC),
            request_payload=old_files.json_of(row["request_payload"]),
            response_summary=old_files.json_of(row["response_summary"]),
            http_status=_http_status(row.get("http_status")),
            status=Job.Status(_state(row)),
            old_status=one_line(str(row["status"] or ""), 64),
            doubles=None,
            cids=cids,
        )

    def _fact_of(self, row: Row, job: LegacyJob) -> Imported:
        kept = ("action_code", "action_name", "batch_id", "created_at", "job_id", "status", "updated_at", "user_id")
        old = {name: without_secrets(row[name]) for name in kept if name in row}
        return Imported(
            attempt_id=job.job_id,
            source=Source.LEGACY,
            user_id=job.user_id,
            action_code=job.action_code,
            action_name=job.action_name,
            cluster_url=job.cluster_url,
            ip_address="",
            cids=job.cids,
            at=job.created_at,
            outcome=Outcome(f"legacy_{job.status}"),
            http_status=job.http_status,
            message=str(without_secrets(str(row.get("error_message") or ""))),
            facts={
                "answer": job.response_summary,
                "doubles": str(job.doubles) if job.doubles else None,
                "old": old,
                "payload": job.request_payload,
            },
        )

    # -- The audit log --------------------------------------------------------------------------------------------

    def _log(self, rows: Iterable[tuple[int, Row]]) -> Iterator[Imported]:
        for number, row in rows:
            self.log.rows += 1
            try:
                imported = self._log_row(number, row)
            except BadRowError as error:
                self._skip(self.log, f"audit_log row {number}: {error}")
                continue
            self.log.customers += len(imported.cids)
            yield imported

    def _log_row(self, number: int, row: Row) -> Imported:
        name = one_line(str(row["action_type"] or "").strip(), 128)
        action = find_action(name)
        old = {name: without_secrets(row[name]) for name in ("duration_ms", "status", "timestamp", "user_id")}
        return Imported(
            attempt_id=old_files.id_of_log_row(number, row),
            source=Source.LEGACY_LOG,
            user_id=self._user(row["user_id"]),
            action_code=action.value if action else None,
            action_name=action.label if action else name,
            cluster_url="",
            ip_address=one_line(str(row["ip_address"] or ""), 45),
            cids=old_files.cids_of_json(row["customer_ids"]),
            at=old_files.time_of(row["timestamp"], self.zone),
            outcome=Outcome(f"legacy_{_state(row)}"),
            http_status=None,
            message=str(without_secrets(str(row["error_message"] or ""))),
            facts={"old": old | {"number": number, "action_type": name}},
        )

    def _user(self, value: Any) -> str:
        name = one_line(text_of(value), USER_ID_LENGTH) or "unknown"
        return self.users.get(name, name)


def _action(code: Any, name: Any) -> Action | None:
    """Return the action that an old job names by code, or else by name."""
    try:
        return Action(int(code))
    except (ValueError, TypeError):
        return find_action(str(name or "").strip())


def _http_status(value: Any) -> int | None:
    text = str(value)
    return int(text) if text.isdecimal() and len(text) == 3 else None


def _state(row: Row) -> str:
    """Return what is known of an old row: `success`, `failed` or `unknown`.

    The old dashboard called a time-out a failure, although TMS may have acted, and never updated what it did not
    finish.
    """
    status = str(row["status"] or "").strip().lower()
    if status in SUCCESS_WORDS:
        return "success"
    return "failed" if status in FAILURE_WORDS and not old_files.is_time_out(row) else "unknown"
