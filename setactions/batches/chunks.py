"""Lists cut into the chunks of a new batch."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from django.conf import settings

from jobs.batches.lists import NewChunk
from setactions.inputs.csv_table import Table
from setactions.payload import Submission, new_chunk, wire_name


def chunks_of(submission: Submission, *, first_only: bool) -> list[NewChunk]:
    """Return chunks of TMS_BATCH_CHUNK customers; with `first_only` one of a single customer comes first."""
    size, count = settings.TMS_BATCH_CHUNK, len(submission.cids)
    ends = range(1 if first_only else size, count, size)
    return [new_chunk(submission, submission.cids[start:end]) for start, end in pairwise([0, *ends, count])]


@dataclass(frozen=True)
class TableChunks:
    """Chunks of at most `size` customers, each for one cluster and action, read from the table every time."""

    table: Table
    size: int

    def __iter__(self) -> Iterator[NewChunk]:
        for part, cids in self.table.chunks(self.size):
            yield NewChunk(
                cluster_url=part.cluster.origin,
                action_code=part.action.value,
                action_sent=wire_name(part.action),
                cids=cids,
            )
