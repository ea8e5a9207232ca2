"""Lists cut into the chunks of a new batch."""

from collections.abc import Iterator
from itertools import pairwise

from django.conf import settings

from jobs.batches.lists import NewChunk
from setactions.inputs.csv_table import Table
from setactions.payload import Submission, new_chunk, wire_name


def chunks_of(submission: Submission, *, first_only: bool) -> Iterator[NewChunk]:
    """Yield chunks of TMS_BATCH_CHUNK customers; with `first_only` one of a single customer comes first."""
    size, count = settings.TMS_BATCH_CHUNK, len(submission.cids)
    ends = range(1 if first_only else size, count, size)
    for start, end in pairwise([0, *ends, count]):
        yield new_chunk(submission, submission.cids[start:end])


def chunks_of_table(table: Table, size: int) -> Iterator[NewChunk]:
    """Yield chunks of at most `size` customers, each for one cluster and action."""
    for part, cids in table.chunks(size):
        yield NewChunk(
            cluster_url=part.cluster.origin,
            action_code=part.action.value,
            action_sent=wire_name(part.action),
            cids=cids,
        )
