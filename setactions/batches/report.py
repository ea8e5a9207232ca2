"""What became of each customer of a batch, as CSV."""

from collections.abc import Iterator

from audit.choices import Action, Outcome
from jobs.batches.selectors import in_order
from jobs.models import Batch, BatchChunk
from setactions.results import explain
from tmsdash.csv_text import csv_text, to_cell, to_id_cell
from tmsdash.downloads import IncompleteError
from tmsdash.text import sentence

State = BatchChunk.State
COLUMNS = ("customer_id", "outcome", "action", "cluster", "chunk", "attempt_id", "job_id", "message", "reason", "note")
NOT_KNOWN = "unknown_to_tms"  # besides the values of BatchChunk.State
NOT_KNOWN_MESSAGE = "TMS does not know this id; it was taken out of the list."


def report_lines(batch: Batch) -> Iterator[str]:
    """Return the report chunk by chunk, so that a million customers are never in memory at once.

    Raises IncompleteError, or what the database raises, where chunks are missing or cannot be read.
    """
    yield csv_text([COLUMNS])
    number, note = -1, to_cell(batch.note)
    for number, chunk in enumerate(in_order(batch.chunks.all(), at_once=10)):
        _check_whole(chunk, number)
        attempt_id = chunk.attempt_id or ""
        job_id = attempt_id if chunk.state == State.ACCEPTED else ""
        target = (Action(chunk.action_code).label, chunk.cluster_url, chunk.number + 1)
        rest = (*target, attempt_id, job_id, to_cell(chunk.message), to_cell(_reason(batch, chunk)), note)
        aside = (*target, "", "", NOT_KNOWN_MESSAGE, f"{NOT_KNOWN_MESSAGE} Correct it, then send it.", note)
        outcome = State.REJECTED.value if chunk.state == State.SET_ASIDE else chunk.state
        yield csv_text((to_id_cell(cid), outcome, *rest) for cid in chunk.cids)
        yield csv_text((to_id_cell(cid), NOT_KNOWN, *aside) for cid in chunk.set_aside)
    if number + 1 != batch.chunk_count:
        raise _missing(number + 1)


def _reason(batch: Batch, chunk: BatchChunk) -> str:
    """Return why the customers of a chunk are not accepted, with the next step; "" if they are."""
    outcome = State(chunk.state).outcome
    if outcome == Outcome.ACCEPTED:
        return ""
    if outcome is None:
        return f"Not sent yet. {batch.reason or 'It waits for its turn.'}"
    if outcome == Outcome.PENDING:
        return "It is being sent, or the process that sent it died. Look at the batch again in a minute."
    return f"{sentence(chunk.message)} {explain(outcome, chunk.message, chunk.http_status)}"


def _check_whole(chunk: BatchChunk, number: int) -> None:
    """Raise IncompleteError unless a chunk is the one with this number, and holds as many ids as it counts."""
    if chunk.number != number:
        raise _missing(number)
    if (len(chunk.cids), len(chunk.set_aside)) != (chunk.customer_count, chunk.set_aside_count):
        raise IncompleteError(f"Chunk {number + 1} does not hold the customers that it counts.")


def _missing(number: int) -> IncompleteError:
    return IncompleteError(f"Chunk {number + 1} of the batch is missing.")
