"""Signatures of jobs, batches and chunks: without AUDIT_KEY nobody can add one to the database, or change one.

A job is evidence that TMS accepted, and a chunk is what its user confirmed. Both are signed when they are written, so
that a row that somebody else wrote can be told from ours. Rows from before there were signatures have none.

What is signed is a digest of the row as the database stores it, under the present AUDIT_KEY; old keys still verify.
What moves later, such as the state of a chunk, is no part of it.
"""

import hmac
import json
import uuid
from collections.abc import Iterator, Sequence
from itertools import chain as chain_iterators
from itertools import islice
from typing import Any

from django.conf import settings
from django.db import connections

from audit import chain
from audit.choices import Kind
from audit.digests import digest
from audit.models import AuditEntry
from audit.proof.archives import find_archives
from audit.proof.stored import stored_entries
from jobs.models import Batch, BatchChunk, Job
from jobs.stored import DATABASE, StoredJob, jobs_by_id
from tmsdash.db.transactions import file_is_there

DIGEST = "job_digest"  # of a job, in the body of its RECORDED event
JOBS_AT_ONCE = 100


def sign_job(job: StoredJob) -> tuple[str, str]:
    """Return the signature of a job and the id of its key."""
    return _signature("job", job.digest)


def job_is_signed(job: StoredJob) -> bool:
    """Tell whether a job is as it was signed, with a key that is known."""
    try:
        return job.is_in_order and _fits("job", job.digest, job.mac, job.key_id)
    except (ValueError, TypeError, RecursionError):  # somebody wrote JSON that we never would
        return False


def signed_jobs(job_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, StoredJob]:
    """Return those of some hundred ids that have a Job which we wrote, as it was written."""
    return {uuid.UUID(job.job_id): job for job in jobs_by_id(job_ids).values() if job_is_signed(job)}


def sign_recorded_jobs() -> None:
    """Sign the jobs that lost their signatures when a migration was undone, and that still match the audit's digest."""
    if not Job.objects.using(DATABASE).filter(mac="").values("pk").exists():
        return  # as in a new installation, whose audit may not even be there
    digests = _recorded_digests()
    while part := dict(islice(digests, JOBS_AT_ONCE)):
        for job in jobs_by_id([*part]).values():
            if not job.mac and job.digest == part[uuid.UUID(job.job_id)]:
                mac, key_id = sign_job(job)
                Job.objects.using(DATABASE).filter(job_id=job.job_id).update(mac=mac, key_id=key_id)


def _recorded_digests() -> Iterator[tuple[uuid.UUID, str]]:
    """Yield the digest of each job that the audit holds, if its entry is signed; none if there is no audit yet."""
    connection, table = connections[chain.DATABASE], AuditEntry._meta.db_table
    if not file_is_there(connection) or table not in connection.introspection.table_names():
        return
    with connection.cursor() as cursor:
        described = connection.introspection.get_table_description(cursor, table)
        columns = {column.name: column for column in described}
    if "mac" not in columns:  # older than the chain, and than digests
        return
    mac_type = connection.introspection.get_field_type(columns["mac"].type_code, columns["mac"])
    in_database = stored_entries(
        f"kind = '{Kind.RECORDED.value}' AND body LIKE '%{DIGEST}%'", macs_are_digits=mac_type != "BinaryField"
    )
    for entry in chain_iterators(in_database, *(archive.entries_with(DIGEST) for archive in find_archives())):
        is_ours = entry.kind == Kind.RECORDED and entry.is_signed(chain.known_keys())
        if is_ours and (recorded := json.loads(entry.body).get(DIGEST)):
            yield uuid.UUID(entry.attempt_id), recorded


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


def _signature(purpose: str, row_digest: str) -> tuple[str, str]:
    # The purpose is part of what is signed: a signature of a chunk can never pass for that of a job.
    key = settings.AUDIT_KEY
    return chain.sign(key, purpose, row_digest), chain.id_of_key(key)


def _fits(purpose: str, row_digest: str, mac: str, key_id: str) -> bool:
    # A key that is not known proves as little as a mac that does not match: whoever forges one may name any key.
    key = chain.known_keys().get(key_id)
    return key is not None and hmac.compare_digest(chain.sign(key, purpose, row_digest).encode(), mac.encode())


def _digest_of_chunk(chunk: BatchChunk) -> str:
    names = ("number", "cluster_url", "action_code", "action_sent", "cids", "set_aside")
    facts: dict[str, Any] = {name: getattr(chunk, name) for name in names}
    return digest(facts | {"batch_id": chunk.batch.batch_id.hex, "user_id": chunk.batch.user_id})


def _digest_of_batch(batch: Batch) -> str:
    names = (
        *("user_id", "file_name", "list_digest", "cluster_url", "action_code"),
        *("customer_count", "repeated", "chunk_count"),
    )
    facts: dict[str, Any] = {name: getattr(batch, name) for name in names}
    # Only if there is something to say, so that older signatures hold. A migration signs batches that have no such
    # columns yet.
    for name in ("allow_unusual", "note"):
        if value := getattr(batch, name, False):
            facts[name] = value
    return digest(facts | {"batch_id": batch.batch_id.hex, "created_at": chain.stored_time(batch.created_at)})
