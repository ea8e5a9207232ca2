"""New batches in the ledger: a long list, cut into chunks, each signed so that nobody else can put one there."""

from collections.abc import Callable, Iterable
from itertools import islice

from django.db import IntegrityError

from jobs.batches.lists import ListDigest, NewBatch, NewChunk
from jobs.batches.overlap import BatchOverlapError, batches_sharing_chunks
from jobs.models import Batch, BatchChunk
from jobs.signatures import sign_batch, sign_chunk
from tmsdash.db import clock
from tmsdash.db.transactions import one_at_a_time, write_transaction
from tmsdash.text import one_line

CHUNKS_PER_INSERT = 50


def create_batch(
    user_id: str, new: NewBatch, *, covers: Callable[[Batch, frozenset[str]], bool] = lambda batch, cids: False
) -> tuple[Batch, bool]:
    """Write a batch with all its chunks, stopped until a runner leases it. Returns it, and whether it is new.

    The same id again returns the batch that is there, whoever it belongs to and whatever it holds. Raises
    BatchOverlapError, and writes nothing, if another open batch asks for some of its customers; those whose
    customers a user's word `covers` do not count.
    """
    batch = Batch(
        batch_id=new.batch_id,
        user_id=user_id,
        file_name=one_line(new.file_name, 255),
        repeated=new.repeated,
        created_at=clock.now("jobs"),
        state=Batch.State.STOPPED,
        first_only=new.first_only,
        allow_unusual=new.allow_unusual,
        note=new.note,
        customer_count=0,
        chunk_count=0,
    )
    try:
        with write_transaction("jobs"):
            _keep_out_others(new.chunks)
            if known := Batch.objects.filter(batch_id=new.batch_id).first():
                return known, False
            shared = batches_sharing_chunks(new.chunks)
            if uncovered := {batch: cids for batch, cids in shared.items() if not covers(batch, cids)}:
                raise BatchOverlapError(uncovered)
            batch.save(force_insert=True)
            _insert_chunks(batch, new.chunks)
            batch.list_digest = new.list_digest or batch.list_digest
            sign_batch(batch)
            batch.save()
    except IntegrityError:
        known = Batch.objects.filter(batch_id=new.batch_id).first()
        if known is None:
            raise
        return known, False
    return batch, True


def _keep_out_others(chunks: Iterable[NewChunk]) -> None:
    """Let no other batch be made for the same action on the same cluster meanwhile: two would miss each other."""
    # Sorted, so that two batches that both have several do not wait for each other.
    for cluster_url, action_code in sorted({(chunk.cluster_url, chunk.action_code) for chunk in chunks}):
        one_at_a_time("jobs", f"batch {action_code} {cluster_url}")


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
