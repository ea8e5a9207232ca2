"""What the rows of the old dashboard become: first a short entry for each, later a Job and the facts of the audit."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo

from audit.choices import Outcome, Source
from audit.digests import digest
from audit.legacy import Imported
from audit.models import USER_ID_LENGTH
from jobs.legacy import LegacyJob
from jobs.models import Job
from setactions.operations.legacy import values
from setactions.operations.legacy.names import Names, address_without_secrets, origin_of
from setactions.operations.legacy.old_files import Row
from setactions.operations.legacy.times import Moment, moment_of
from setactions.operations.legacy.values import BadRowError, shown, text_of, without_secrets
from tmsdash.text import one_line


@dataclass(slots=True, kw_only=True)
class Entry:
    """A row in short, so that all rows of a file fit into memory: what is needed to date it and to find its partner."""

    number: int
    attempt_id: uuid.UUID
    user_id: str
    action_code: int | None
    action_name: str
    cluster_url: str
    cids_digest: str
    """A digest of the customers, in whatever order; "" if there are none."""
    customers: int
    moment: Moment
    duration: timedelta = timedelta()
    named_job: uuid.UUID | None = None
    """The job that a row of the audit log names, if it has such a column."""
    at: datetime | None = None
    partner: uuid.UUID | None = None
    """The row of the other file that tells of the same action."""
    doubles: uuid.UUID | None = None
    """The job that this one repeats."""
    has_job: bool = False
    """Whether its Job is here already."""

    @property
    def instant(self) -> datetime:
        """When it was written, once that is settled."""
        return self.at or self.moment.instants[0]

    @property
    def time_in_words(self) -> str:
        """Its time as it is written, and as it is read."""
        return f"{self.moment.written} → {self.instant:%Y-%m-%d %H:%M:%S} UTC"


def entry_of_job(number: int, row: Row, cids: Sequence[str], zone: tzinfo, users: Names, clusters: Names) -> Entry:
    """Return a job in short; raises BadRowError if it makes no sense."""
    job_id, action = values.id_of(row["job_id"]), values.action_of(row["action_code"], row["action_name"])
    if action is None:
        raise BadRowError(f"{shown(row['action_code'])}, {shown(row['action_name'])} is no action")
    return Entry(
        number=number,
        attempt_id=job_id,
        moment=moment_of(row["created_at"], zone),
        user_id=users.new_name(_user(row)),
        action_code=action.value,
        action_name=action.label,
        cluster_url=clusters.new_name(one_line(str(without_secrets(origin_of(text_of(row["cluster_url"])))), 300)),
        cids_digest=_digest(cids),
        customers=len(cids),
    )


def entry_of_log_row(number: int, row: Row, users: Names) -> Entry:
    """Return a row of the audit log in short; raises BadRowError if it makes no sense."""
    name = one_line(text_of(row["action_type"]), 128)
    action, cids = values.action_of(row["action_type"], name), values.cids_of(row["customer_ids"])
    return Entry(
        number=number,
        attempt_id=values.id_of_log_row(number, row),
        moment=moment_of(row["timestamp"], UTC),
        user_id=users.new_name(_user(row)),
        action_code=action.value if action else None,
        action_name=action.label if action else name,
        cluster_url="",
        cids_digest=_digest(cids),
        customers=len(cids),
        duration=values.duration_of(row["duration_ms"]),
        named_job=values.id_of(row["job_id"]) if text_of(row.get("job_id")) else None,
    )


def job_of(entry: Entry, row: Row, cids: Sequence[str]) -> LegacyJob:
    """Return the Job of an old job."""
    return LegacyJob(
        job_id=entry.attempt_id,
        user_id=entry.user_id,
        batch_id=values.uuid_or_none(row["batch_id"]),
        action_code=entry.action_code or 0,
        action_name=entry.action_name,
        cluster_url=entry.cluster_url,
        created_at=entry.instant,
        request_payload=values.json_of(row["request_payload"]),
        response_summary=values.json_of(row["response_summary"]),
        http_status=values.http_status_of(row.get("http_status")),
        status=Job.Status(values.state_of(row)),
        old_status=one_line(str(row["status"] or ""), 64),
        doubles=entry.doubles,
        cids=tuple(cids),
    )


def fact_of_job(entry: Entry, row: Row, job: LegacyJob) -> Imported:
    """Return what the audit keeps of an old job."""
    kept = ("action_code", "action_name", "batch_id", "created_at", "job_id", "status", "updated_at", "user_id")
    old = {name: without_secrets(row[name]) for name in kept if name in row}
    address = without_secrets(one_line(address_without_secrets(text_of(row["cluster_url"]))))
    fact = _fact(entry, row, Source.LEGACY, job.cids)
    facts = {
        "answer": job.response_summary,
        "doubles": str(job.doubles) if job.doubles else None,
        "log_row_id": str(entry.partner) if entry.partner else None,
        "old": old | {"cluster_url": address},
        "payload": job.request_payload,
    }
    return replace(fact, http_status=job.http_status, facts=fact.facts | facts)


def fact_of_log_row(entry: Entry, row: Row) -> Imported:
    """Return what the audit keeps of a row of the old audit log."""
    old = {name: without_secrets(row[name]) for name in ("duration_ms", "status", "timestamp", "user_id")}
    fact = _fact(entry, row, Source.LEGACY_LOG, values.cids_of(row["customer_ids"]))
    facts = {
        "job_id": str(entry.partner) if entry.partner else None,
        "old": old | {"number": entry.number, "action_type": one_line(text_of(row["action_type"]), 128)},
    }
    return replace(fact, ip_address=one_line(text_of(row["ip_address"]), 45), facts=fact.facts | facts)


def _fact(entry: Entry, row: Row, source: Source, cids: tuple[str, ...]) -> Imported:
    return Imported(
        attempt_id=entry.attempt_id,
        source=source,
        user_id=entry.user_id,
        action_code=entry.action_code,
        action_name=entry.action_name,
        cluster_url=entry.cluster_url,
        ip_address="",
        cids=cids,
        at=entry.instant,
        outcome=Outcome(f"legacy_{values.state_of(row)}"),
        http_status=None,
        message=str(without_secrets(text_of(row.get("error_message")))),
        facts={"time_zone": entry.moment.zone},  # in which its time was read; older imports did not say
    )


def _user(row: Row) -> str:
    return one_line(text_of(row["user_id"]), USER_ID_LENGTH) or "unknown"


def _digest(cids: Sequence[str]) -> str:
    return digest(sorted(cids))[:32] if cids else ""
