"""Signatures of jobs, batches and chunks: without AUDIT_KEY nobody can put one into the database, or change one.

A job is evidence that TMS accepted, and a chunk is what its user confirmed. Both are signed when they are written,
so that a row which somebody else wrote is told from ours. Rows from before there were signatures have none.
"""

import hmac
import uuid
from collections.abc import Sequence
from typing import Any

from django.conf import settings

from audit import chain
from audit.services import digest
from jobs.models import Batch, BatchChunk
from jobs.stored import StoredJob, jobs_by_id


def sign_job(job: StoredJob) -> tuple[str, str]:
    """Return the signature of a job and the id of its key."""
    return _signature("job", job.digest)


def job_is_signed(job: StoredJob) -> bool:
    """Tell whether a job is as it was signed, with a key that is known."""
    try:
        return job.is_in_order and _fits("job", job.digest, job.mac, job.key_id)
    except (ValueError, TypeError, RecursionError):  # somebody wrote what is no JSON of ours
        return False


def signed_jobs(job_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, StoredJob]:
    """Return those of some hundred ids that have a Job which we wrote, as it was written."""
    return {uuid.UUID(job.job_id): job for job in jobs_by_id(job_ids).values() if job_is_signed(job)}


def sign_chunk(chunk: BatchChunk) -> None:
    """Sign what a chunk will send, for whom; its batch must be loaded."""
    chunk.mac, chunk.key_id = _signature("chunk", _digest_of_chunk(chunk))


def chunk_is_signed(chunk: BatchChunk) -> bool:
    """Tell whether a chunk holds what was signed, and belongs to the same batch of the same user."""
    return _fits("chunk", _digest_of_chunk(chunk), chunk.mac, chunk.key_id)


def sign_batch(batch: Batch) -> None:
    """Sign what a batch says of its list."""
    batch.mac, batch.key_id = _signature("batch", _digest_of_batch(batch))


def batch_is_signed(batch: Batch) -> bool:
    """Tell whether what a batch says of its list is as it was signed."""
    return _fits("batch", _digest_of_batch(batch), batch.mac, batch.key_id)


def _signature(what: str, said: str) -> tuple[str, str]:
    key = settings.AUDIT_KEY
    return chain.sign(key, what, said), chain.id_of_key(key)


def _fits(what: str, said: str, mac: str, key_id: str) -> bool:
    key = chain.known_keys().get(key_id)
    return key is not None and hmac.compare_digest(chain.sign(key, what, said).encode(), mac.encode())


def _digest_of_chunk(chunk: BatchChunk) -> str:
    facts: dict[str, Any] = {
        "batch_id": chunk.batch.batch_id.hex,
        "user_id": chunk.batch.user_id,
        "number": chunk.number,
        "cluster_url": chunk.cluster_url,
        "action_code": chunk.action_code,
        "action_sent": chunk.action_sent,
        "cids": chunk.cids,
        "set_aside": chunk.set_aside,
    }
    return digest(facts)


def _digest_of_batch(batch: Batch) -> str:
    names = ("user_id", "file_name", "list_digest", "cluster_url", "action_code")
    counts = ("customer_count", "repeated", "chunk_count")
    facts: dict[str, Any] = {name: getattr(batch, name) for name in (*names, *counts)}
    return digest(facts | {"batch_id": batch.batch_id.hex, "created_at": chain.stored_time(batch.created_at)})
