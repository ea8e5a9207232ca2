"""New batches in the ledger: a long list, cut into chunks."""

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from django.db import IntegrityError
from django.utils import timezone

from jobs.models import Batch, BatchChunk
from jobs.signatures import sign_batch, sign_chunk
from tmsdash.db.transactions import write_transaction
from tmsdash.text import one_line

CHUNKS_PER_INSERT = 50


@dataclass(frozen=True, kw_only=True)
class NewChunk:
    """What one call of a new batch will carry."""

    cluster_url: str
    action_code: int
    action_sent: str
    cids: Sequence[str]


class ListDigest:
    """What lists share that ask the same for the same customers in the same order, however they are cut."""

    def __init__(self, chunks: Iterable[NewChunk] = ()) -> None:
        self._hash = hashlib.sha256()
        self._asked: tuple[str, int] | None = None
        for chunk in chunks:
            self.add(chunk)

    def add(self, chunk: NewChunk) -> None:
        """Let the list go on with this chunk."""
        asked = (chunk.cluster_url, chunk.action_code)
        if asked != self._asked:
            self._asked = asked
            self._hash.update(f"\0{chunk.cluster_url}\0{chunk.action_code}\0".encode())
        self._hash.update("".join(f"{cid}\n" for cid in chunk.cids).encode())  # no id holds a line end

    def __str__(self) -> str:
        return self._hash.hexdigest()


def create_batch(
    *,
    batch_id: uuid.UUID,
    user_id: str,
    file_name: str,
    repeated: int,
    chunks: Iterable[NewChunk],
    first_only: bool = False,
) -> tuple[Batch, bool]:
    """Write a batch with all its chunks, stopped until a runner takes it. Returns it, and whether it is new.

    The same id again returns the batch that is there, whoever it belongs to and whatever it holds.
    """
    batch = Batch(
        batch_id=batch_id,
        user_id=user_id,
        file_name=one_line(file_name, 255),
        repeated=repeated,
        created_at=timezone.now(),
        state=Batch.State.STOPPED,
        first_only=first_only,
        customer_count=0,
        chunk_count=0,
    )
    try:
        with write_transaction("jobs"):
            batch.save(force_insert=True)
            _insert_chunks(batch, chunks)
            sign_batch(batch)
            batch.save()
    except IntegrityError:
        known = Batch.objects.filter(batch_id=batch_id).first()
        if known is None:
            raise
        return known, False
    return batch, True


def _insert_chunks(batch: Batch, chunks: Iterable[NewChunk]) -> None:
    """Insert the chunks in groups, so that the ids of a million customers are never in memory at once."""
    asked: set[tuple[str, int]] = set()
    digest = ListDigest()
    remaining = iter(chunks)
    while group := list(islice(remaining, CHUNKS_PER_INSERT)):
        rows = []
        for number, chunk in enumerate(group, start=batch.chunk_count):
            asked.add((chunk.cluster_url, chunk.action_code))
            digest.add(chunk)
            row = BatchChunk(
                batch=batch,
                number=number,
                cluster_url=chunk.cluster_url,
                action_code=chunk.action_code,
                action_sent=chunk.action_sent,
                cids=list(chunk.cids),
                customer_count=len(chunk.cids),
            )
            sign_chunk(row)
            rows.append(row)
        BatchChunk.objects.bulk_create(rows)
        batch.chunk_count += len(rows)
        batch.customer_count += sum(row.customer_count for row in rows)
    batch.list_digest = str(digest)
    clusters, actions = {cluster for cluster, _ in asked}, {action for _, action in asked}
    batch.cluster_url = clusters.pop() if len(clusters) == 1 else ""
    batch.action_code = actions.pop() if len(actions) == 1 else None
