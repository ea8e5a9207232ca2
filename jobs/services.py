"""The one way in which the Job of an accepted action is written."""

import logging
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from audit.choices import Action, Evidence
from jobs.models import Job, JobCustomer
from jobs.signatures import sign_job
from jobs.stored import DATABASE, stored_job
from tmsdash.db.bulk import insert_list
from tmsdash.db.transactions import assert_disk_has_room, write_transaction
from tmsdash.kill_points import kill_point

logger = logging.getLogger(__name__)


def new_job(
    *,
    job_id: uuid.UUID,
    user_id: str,
    batch_id: uuid.UUID | None,
    action_code: int,
    action_name: str,
    cluster_url: str,
    request_payload: dict[str, Any],
    response_summary: Any,
    http_status: int | None,
    cids: Sequence[str],
    source: str = "",
    evidence: Evidence = Evidence.REPLY,
    created_at: datetime | None = None,
) -> Job:
    """Return a job, signed and not saved, as `insert_job` takes it with the same `cids`.

    `evidence` tells how it is known that TMS accepted, `created_at` when, if it was not just now.
    """
    job = Job(
        job_id=job_id,
        user_id=user_id,
        batch_id=batch_id,
        action_code=action_code,
        action_name=action_name,
        cluster_url=cluster_url,
        created_at=created_at or timezone.now(),
        request_payload=request_payload,
        response_summary=response_summary,
        http_status=http_status,
        evidence=evidence,
        customer_count=len(cids),
        source=source,
    )
    job.mac, job.key_id = sign_job(stored_job(job, cids))
    return job


def create_job(*, cids: Sequence[str], **facts: Any) -> Job:
    """Make a job of the facts that `new_job` takes, insert it in the caller's transaction, and return it."""
    job = new_job(cids=cids, **facts)
    insert_job(job, cids)
    return job


def insert_job(job: Job, cids: Sequence[str]) -> None:
    """Insert a new job with its customers in the caller's transaction.

    Its first statement is the INSERT: a read before it would take a snapshot that the write could
    not use once another writer was quicker. IntegrityError means that the job is there already.
    """
    job.save(using=DATABASE, force_insert=True)
    kill_point("jobs: job without its customers, not committed")
    insert_list(DATABASE, JobCustomer._meta.db_table, "job_id", job.pk, cids, with_position=True)
    job_id, user_id = job.job_id, job.user_id
    transaction.on_commit(
        lambda: logger.info(
            "[JOBS] create_job: Successfully created job %s for user %s with %d customers", job_id, user_id, len(cids)
        ),
        using=DATABASE,
        robust=True,
    )


def assert_writable(*, wait_s: float) -> None:
    """Raise DatabaseError unless a job could be written now.

    The proof is a real insert, rolled back: reads, even BEGIN IMMEDIATE, succeed on a read-only file.
    """
    assert_disk_has_room(DATABASE)
    with write_transaction(DATABASE, wait_s):
        Job(
            job_id=uuid.uuid4(),
            action_code=Action.TRANS_BEGIN,
            created_at=timezone.now(),
            request_payload={},
            response_summary={},
            http_status=0,
            customer_count=0,
        ).save(using=DATABASE, force_insert=True)
        transaction.set_rollback(True, using=DATABASE)
