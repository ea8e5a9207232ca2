"""New batches in the ledger: a long list, cut into chunks, each signed so that nobody else can put one there."""

from collections.abc import Iterable
from itertools import islice

from django.db import IntegrityError
from django.utils import timezone

from jobs.batches.lists import ListDigest, NewBatch, NewChunk
from jobs.models import Batch, BatchChunk
from jobs.signatures import sign_batch, sign_chunk
from tmsdash.db.transactions import write_transaction
from tmsdash.text import one_line

CHUNKS_PER_INSERT = 50


def create_batch(user_id: str, new: NewBatch) -> tuple[Batch, bool]:
    """Write a batch with all its chunks, stopped until a runner leases it. Returns it, and whether it is new.

    The same id again returns the batch that is there, whoever it belongs to and whatever it holds.
    """
    batch = Batch(
        batch_id=new.batch_id,
        user_id=user_id,
        file_name=one_line(new.file_name, 255),
        repeated=new.repeated,
        created_at=timezone.now(),
        state=Batch.State.STOPPED,
        first_only=new.first_only,
        customer_count=0,
        chunk_count=0,
    )
    try:
        with write_transaction("jobs"):
            batch.save(force_insert=True)
            _insert_chunks(batch, new.chunks)
            sign_batch(batch)
            batch.save()
    except IntegrityError:
        known = Batch.objects.filter(batch_id=new.batch_id).first()
        if known is None:
            raise
        return known, False
    return batch, True


def _insert_chunks(batch: Batch, chunks: Iterable[NewChunk]) -> None:
    """Insert the chunks in groups, so that the ids of a million customers are never in memory at once."""
    clusters, actions, digest, remaining = set(), set(), ListDigest(), iter(chunks)
    while group := list(islice(remaining, CHUNKS_PER_INSERT)):
        rows = []
        for number, chunk in enumerate(group, start=batch.chunk_count):
            clusters.add(chunk.cluster_url)
            actions.add(chunk.action_code)
            digest.add(chunk)
            columns = vars(chunk) | {"cids": list(chunk.cids), "customer_count": len(chunk.cids)}
            rows.append(BatchChunk(batch=batch, number=number, **columns))
            sign_chunk(rows[-1])
        BatchChunk.objects.bulk_create(rows)
        batch.chunk_count += len(rows)
        batch.customer_count += sum(row.customer_count for row in rows)
    batch.list_digest = str(digest)
    batch.cluster_url = clusters.pop() if len(clusters) == 1 else ""
    batch.action_code = actions.pop() if len(actions) == 1 else None
