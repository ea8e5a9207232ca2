"""Lists that are about to become batches, and what tells two of them apart."""

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from audit.bodies import Compared

IDS_AT_ONCE = 50_000


class Chunk(Protocol):
    """What chunks have in common, those of new batches and those of the ledger: customers who get an action."""

    @property
    def cluster_url(self) -> str: ...
    @property
    def action_code(self) -> int: ...
    @property
    def cids(self) -> Sequence[str]: ...


@dataclass(frozen=True, kw_only=True)
class NewChunk:
    """What one call of a new batch will carry."""

    cluster_url: str
    action_code: int
    action_sent: str
    cids: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class NewBatch:
    """What a new batch is made of.

    `chunks` are gone through several times. `list_digest` is that of the list as it was given, in case customers were
    left out of it. `repeated` ids were left out; `first_only` pauses it after its first chunk; with `allow_unusual`
    its user let ids pass that look damaged. `note` is what its user wrote for whoever reads of it later. `compared` is
    what its user was shown of the customers' live state: it is for the INTENTs of the chunks, and not kept with the
    batch.
    """

    batch_id: uuid.UUID
    chunks: Iterable[NewChunk]
    list_digest: str = ""
    file_name: str = ""
    repeated: int = 0
    first_only: bool = False
    allow_unusual: bool = False
    note: str = ""
    compared: Compared | None = None


def lists_of(chunks: Iterable[Chunk]) -> Iterator[tuple[str, int, list[str]]]:
    """Yield cluster, action and ids of chunks that follow each other: long lists, yet none that fills the memory."""
    for (cluster_url, action_code), alike in groupby(chunks, lambda chunk: (chunk.cluster_url, chunk.action_code)):
        cids: list[str] = []
        for chunk in alike:
            cids += chunk.cids
            if len(cids) >= IDS_AT_ONCE:
                yield cluster_url, action_code, cids
                cids = []
        if cids:
            yield cluster_url, action_code, cids


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
