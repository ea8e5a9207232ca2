"""The one way in which the Job of an accepted action is written."""

import logging
import uuid
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.db import connections, transaction
from django.utils import timezone

from audit.bodies import Intent, OutcomeBody
from audit.choices import Action, Evidence
from audit.proof.stored import time_of
from jobs.models import Job
from jobs.signatures import sign_job
from jobs.stored import DATABASE, StoredJob, insert_customers, insert_row
from tmsdash.db import clock, writability
from tmsdash.db.transactions import assert_disk_has_room, file_identity, write_transaction
from tmsdash.kill_points import kill_point

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class AcceptedAttempt:
    """An attempt that TMS accepted, as the audit holds it: all that its Job is made from.

    `answer` is the body of the event that `evidence` names. `accepted_at` is when it was accepted, if not just now.
    """

    attempt_id: uuid.UUID
    user_id: str
    intent: Intent
    answer: OutcomeBody
    evidence: Evidence = Evidence.REPLY
    accepted_at: datetime | None = None


def new_job(attempt: AcceptedAttempt) -> StoredJob:
    """Return the Job of an attempt, signed and not written yet: all that needs no lock."""
    intent, is_reply = attempt.intent, attempt.evidence == Evidence.REPLY
    data = attempt.answer.get("data")
    job = StoredJob(
        job_id=attempt.attempt_id.hex,
        user_id=attempt.user_id,
        batch_id=uuid.UUID(intent["batch_id"]).hex if intent["batch_id"] else "",
        action_code=intent["action_code"],
        action_name=intent["action_name"],
        cluster_url=intent["cluster_url"],
        # By the clock of the attempt's events, between which it must lie. TMS has answered: nothing may fail now.
        created_at=time_of(attempt.accepted_at or clock.known_now("audit")),
        request_payload={"action": intent["action_sent"], "cids": intent["cids"]},
        # What was read, or decided, stands in the place of an answer.
        response_summary=({} if data is None else data) if is_reply else attempt.answer,
        http_status=attempt.answer.get("http_status") if is_reply else None,
        evidence=attempt.evidence.value,
        status=Job.Status.SUCCESS.value,
        customer_count=len(intent["cids"]),
        source=str(intent["source"]),
        legacy=False,
        old_status="",
        doubles="",
        mac="",
        key_id="",
        cids=tuple(intent["cids"]),
    )
    return job.signed(*sign_job(job))


def create_job(attempt: AcceptedAttempt) -> StoredJob:
    """Insert the Job of an attempt, with its customers, in the caller's transaction, and return it."""
    job = new_job(attempt)
    insert_job(job)
    return job


def insert_job(job: StoredJob) -> None:
    """Insert a new job with its customers in the caller's transaction.

    Its first statement is the INSERT: a read before it would take a snapshot that the write could
    not use once another writer was quicker. IntegrityError means that the job is there already.
    """
    insert_unlogged(job)
    transaction.on_commit(partial(log_inserted, job), using=DATABASE, robust=True)


def insert_unlogged(job: StoredJob) -> None:
    """The same; once it is committed the caller logs it with `log_inserted`."""
    key = insert_row(job)
    kill_point("jobs: job without its customers, not committed")
    insert_customers(key, job.cids)


def log_inserted(job: StoredJob) -> None:
    """Log that a job is committed."""
    words = "[JOBS] create_job: Successfully created job %s for user %s with %d customers"
    logger.info(words, uuid.UUID(job.job_id), job.user_id, len(job.cids))


def assert_writable(*, wait_s: float) -> None:
    """Raise DatabaseError unless a job could be written now, or could at most a second ago in this process."""
    writability.assert_proven(DATABASE, file_identity(connections[DATABASE]), prove_writable, wait_s)


def prove_writable(wait_s: float) -> None:
    """Raise DatabaseError unless a job could be written now.

    The proof is a real insert, rolled back: reads, even BEGIN IMMEDIATE, succeed on a read-only file.
    """
    assert_disk_has_room(DATABASE)
    with write_transaction(DATABASE, wait_s):
        needed: dict[str, Any] = {"stored_payload": {}, "response_summary": {}, "http_status": 0, "customer_count": 0}
        job = Job(job_id=uuid.uuid4(), action_code=Action.TRANS_BEGIN, created_at=timezone.now(), **needed)
        job.save(using=DATABASE, force_insert=True)
        transaction.set_rollback(True, using=DATABASE)
