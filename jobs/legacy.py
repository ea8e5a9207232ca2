"""Jobs of the old dashboard: kept beside ours, and outside of the promise that ours make."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit.choices import Evidence, Source
from jobs.models import Job
from jobs.signatures import sign_job
from jobs.stored import DATABASE, insert_customers, stored_job
from tmsdash.db.transactions import BUSY_TIMEOUT_S, write_transaction


@dataclass(frozen=True, kw_only=True)
class LegacyJob:
    """A job as the old dashboard kept it; `doubles` is the job that it repeats."""

    job_id: uuid.UUID
    user_id: str
    batch_id: uuid.UUID | None
    action_code: int
    action_name: str
    cluster_url: str
    created_at: datetime
    request_payload: Any
    response_summary: Any
    http_status: int | None
    status: Job.Status
    old_status: str
    doubles: uuid.UUID | None
    cids: tuple[str, ...]


def create_legacy_jobs(rows: Sequence[LegacyJob]) -> int:
    """Insert those jobs that do not exist yet, in one transaction; return how many these were.

    Raises DatabaseError if the database cannot be written; then none of them is inserted.
    """
    with write_transaction(DATABASE, BUSY_TIMEOUT_S):
        ids = [row.job_id for row in rows]
        existing = set(Job.objects.filter(job_id__in=ids).values_list("job_id", flat=True))
        new = [row for row in rows if row.job_id not in existing]
        for row in new:
            facts = {name: value for name, value in vars(row).items() if name != "cids"}
            facts |= {"evidence": Evidence.LEGACY, "source": Source.LEGACY, "legacy": True}
            job = Job(customer_count=len(row.cids), **facts)
            job.mac, job.key_id = sign_job(stored_job(job, row.cids))
            job.save(force_insert=True)
            insert_customers(job.pk, row.cids)
    return len(new)


def existing_jobs(job_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, tuple[bool, uuid.UUID | None]]:
    """Return those of some hundred ids that jobs have already: whether these are the old dashboard's, and which job
    they repeat."""
    rows = Job.objects.filter(job_id__in=job_ids).values_list("job_id", "legacy", "doubles")
    return {job_id: (is_legacy, doubles) for job_id, is_legacy, doubles in rows}
