"""What became of each customer of a batch, as CSV."""

from collections.abc import Iterator

from audit.choices import Action
from jobs.models import Batch, BatchChunk
from tmsdash.csv_text import csv_text, to_cell, to_id_cell

State = BatchChunk.State
COLUMNS = ("customer_id", "outcome", "action", "cluster", "chunk", "attempt_id", "job_id", "message")
NOT_KNOWN = "unknown_to_tms"  # besides the values of BatchChunk.State


def report_lines(batch: Batch) -> Iterator[str]:
    """Return the report chunk by chunk, so that a million customers are never in memory at once."""
    yield csv_text([COLUMNS])
    for chunk in BatchChunk.objects.filter(batch=batch).order_by("number").iterator(chunk_size=10):
        attempt_id = chunk.attempt_id or ""
        job_id = attempt_id if chunk.state == State.ACCEPTED else ""
        target = (Action(chunk.action_code).label, chunk.cluster_url, chunk.number + 1)
        rest = (*target, attempt_id, job_id, to_cell(chunk.message))
        aside = (*target, "", "", "TMS does not know this id; it was taken out of the list.")
        outcome = State.REJECTED.value if chunk.state == State.SET_ASIDE else chunk.state
        yield csv_text((to_id_cell(cid), outcome, *rest) for cid in chunk.cids)
        yield csv_text((to_id_cell(cid), NOT_KNOWN, *aside) for cid in chunk.set_aside)
