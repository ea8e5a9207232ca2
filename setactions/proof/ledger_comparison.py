"""All batches beside the audit: whether they hold what their users confirmed, and what became of it."""

import uuid
from collections.abc import Iterator, Sequence

from audit.choices import ACCEPTED_OUTCOMES, Outcome
from audit.models import Attempt
from jobs.models import Batch, BatchChunk
from jobs.signatures import batch_is_signed, chunk_is_signed
from setactions.proof.job_comparison import NOBODY, Problem

CHUNKS_AT_ONCE = 100
State = BatchChunk.State
# What the audit says of the last attempt of a chunk in these states.
OUTCOMES = {
    State.ACCEPTED: ACCEPTED_OUTCOMES,
    State.REJECTED: {Outcome.REJECTED},
    State.SET_ASIDE: {Outcome.REJECTED},
    State.NOT_SENT: {Outcome.NOT_SENT},
    State.NOT_APPLIED: {Outcome.NOT_APPLIED, Outcome.DECIDED_NOT_APPLIED},
}
NOT_FOLLOWED_YET = frozenset({State.ACCEPTED, State.CALLING, State.UNKNOWN})


class LedgerComparison:
    """Compares each batch and chunk with its signature and its attempt; `batches` and `chunks` count them."""

    def __init__(self) -> None:
        self.batches = self.chunks = 0

    def problems(self) -> Iterator[Problem]:
        """Yield what does not fit. Raises DatabaseError."""
        for pk in Batch.objects.order_by("pk").values_list("pk", flat=True).iterator():
            self.batches += 1
            batch_id = NOBODY
            try:
                batch = Batch.objects.get(pk=pk)
                batch_id = batch.batch_id
                for problem in self._problems_of(batch):
                    yield batch_id, problem
            except (ValueError, TypeError, AttributeError, RecursionError):
                yield batch_id, "What it says, or one of its chunks, cannot be understood."

    def _problems_of(self, batch: Batch) -> Iterator[str]:
        if not batch_is_signed(batch):
            yield "It was changed after it was written: its signature does not match."
        numbers = customers = 0
        while part := list(batch.chunks.filter(number__gte=numbers).order_by("number")[:CHUNKS_AT_ONCE]):
            for chunk in part:
                chunk.batch = batch
            outcomes = _outcomes_of(part)
            for chunk in part:
                if chunk.number != numbers:
                    yield f"Chunks {numbers + 1} to {chunk.number} are missing."
                numbers = chunk.number + 1
                customers += len(chunk.cids) + len(chunk.set_aside)
                self.chunks += 1
                for problem in _chunk_problems(chunk, outcomes):
                    yield f"Chunk {chunk.number + 1}: {problem}"
        waiting = batch.chunks.filter(state__in=[State.WAITING, State.CALLING]).count()
        if batch.state == Batch.State.DONE and waiting:
            yield f"It is marked as done, but {waiting:,} of its chunks have not been sent."
        if (numbers, customers) != (batch.chunk_count, batch.customer_count):
            confirmed = f"{batch.chunk_count:,} for {batch.customer_count:,}"
            yield f"It has {numbers:,} chunks for {customers:,} customers; confirmed were {confirmed}."


def _outcomes_of(chunks: Sequence[BatchChunk]) -> dict[uuid.UUID, str]:
    """Return what became of each try of some chunks that the audit knows."""
    ids = [chunk.attempt_id_of(number) for chunk in chunks for number in range(1, chunk.tries + 1)]
    outcomes: dict[uuid.UUID, str] = {}
    for start in range(0, len(ids), CHUNKS_AT_ONCE):
        part = Attempt.objects.filter(attempt_id__in=ids[start : start + CHUNKS_AT_ONCE])
        outcomes |= dict(part.values_list("attempt_id", "outcome"))
    return outcomes


def _chunk_problems(chunk: BatchChunk, outcomes: dict[uuid.UUID, str]) -> Iterator[str]:
    if not chunk.has_sound_try:
        yield f"its try is {chunk.tries!r}; the first one is 1."
        return
    if not chunk_is_signed(chunk):
        yield "it was changed after it was confirmed: its signature does not match. It is not sent."
    if (chunk.customer_count, chunk.set_aside_count) != (len(chunk.cids), len(chunk.set_aside)):
        yield "it counts other customers than it holds."
    if _state_problem(chunk, outcomes):  # it may have moved between the two readings
        chunk.refresh_from_db(fields=["state", "tries"])
        if problem := _state_problem(chunk, _outcomes_of([chunk])):
            yield problem


def _state_problem(chunk: BatchChunk, outcomes: dict[uuid.UUID, str]) -> str:
    """Return how a chunk's state contradicts the audit, in words that follow its number; "" if it does not."""
    last = outcomes.get(chunk.derived_attempt_id, "unknown to the audit")
    expected = OUTCOMES.get(State(chunk.state))
    if expected is not None and last not in expected:
        return f"it is called {chunk.state}, and its attempt {chunk.derived_attempt_id} is {last}."
    tries = map(chunk.attempt_id_of, range(1, chunk.tries + 1))
    if chunk.state not in NOT_FOLLOWED_YET and any(outcomes.get(each) in ACCEPTED_OUTCOMES for each in tries):
        return f"it is called {chunk.state}, and one of its attempts was accepted."
    return ""
