"""Lists that are about to become batches, and what tells two of them apart."""

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class NewChunk:
    """What one call of a new batch will carry."""

    cluster_url: str
    action_code: int
    action_sent: str
    cids: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class NewBatch:
    """What a new batch is made of. `repeated` ids were left out; `first_only` stops it after its first chunk."""

    batch_id: uuid.UUID
    chunks: Iterable[NewChunk]
    file_name: str = ""
    repeated: int = 0
    first_only: bool = False


class ListDigest:
    """What lists share that ask the same for the same customers in the same order, however they are cut."""

    def __init__(self, chunks: Iterable[NewChunk] = ()) -> None:
        self._hash = hashlib.sha256()
        self._target: tuple[str, int] | None = None
        for chunk in chunks:
            self.add(chunk)

    def add(self, chunk: NewChunk) -> None:
        """Let the list go on with this chunk."""
        target = (chunk.cluster_url, chunk.action_code)
        if target != self._target:
            self._target = target
            self._hash.update(f"\0{chunk.cluster_url}\0{chunk.action_code}\0".encode())
        self._hash.update("".join(f"{cid}\n" for cid in chunk.cids).encode())  # no id holds a line end

    def __str__(self) -> str:
        return self._hash.hexdigest()
