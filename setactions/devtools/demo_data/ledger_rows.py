"""Batches with their chunks as rows of the jobs database, signed as the product signs them."""

from datetime import datetime, timedelta

from audit.choices import Kind, Ruling
from jobs.batches.lists import ListDigest, NewChunk
from jobs.models import Batch, BatchChunk
from jobs.signatures import sign_batch, sign_chunk
from setactions.devtools.demo_data.attempt_rows import MadeAttempt
from setactions.devtools.demo_data.bulk_rows import last_pk
from setactions.devtools.demo_data.scenario import MadeBatch

BATCHES_AT_ONCE = 200
PAUSED_SINCE = timedelta(days=3)
State = BatchChunk.State
STATES = {
    Kind.INTENT: State.CALLING,
    Kind.ACCEPTED: State.ACCEPTED,
    Kind.APPLIED: State.ACCEPTED,
    Kind.REJECTED: State.REJECTED,
    Kind.NOT_SENT: State.NOT_SENT,
    Kind.NOT_APPLIED: State.NOT_APPLIED,
    Kind.UNKNOWN: State.UNKNOWN,
}
ENDED = "The process that sent it ended."
PAUSED = "Paused by its user."


class LedgerRows:
    """Puts batches behind those of the jobs database. They are few enough for models.

    One that was not sent to its end is stopped, or paused if it is of the last days before `end`.
    """

    def __init__(self, end: datetime) -> None:
        self._end = end
        self._pk = last_pk(Batch)
        self._batches: list[Batch] = []
        self._chunks: list[BatchChunk] = []

    def add(self, made: MadeBatch) -> None:
        """Add a batch."""
        self._pk += 1
        first, last = made.attempts[0], made.attempts[-1]
        batch = Batch(
            pk=self._pk,
            batch_id=made.batch_id,
            user_id=made.user_id,
            cluster_url=first.opening["cluster_url"],
            action_code=first.opening["action_code"],
            file_name=f"list-{self._pk}.csv",
            customer_count=sum(map(len, made.chunks)),
            chunk_count=len(made.chunks),
            created_at=made.at,
        )
        chunks = [_chunk(batch, number, cids, made.attempts) for number, cids in enumerate(made.chunks)]
        if {State.WAITING, State.CALLING}.isdisjoint(chunk.state for chunk in chunks):
            batch.state, batch.ended_at = Batch.State.DONE, last.last_at
        elif self._end - made.at < PAUSED_SINCE:
            batch.state, batch.reason = Batch.State.PAUSED, PAUSED
        else:
            batch.state, batch.reason = Batch.State.STOPPED, ENDED
        batch.list_digest = str(ListDigest(_new_chunk(chunk) for chunk in chunks))
        sign_batch(batch)
        for chunk in chunks:
            sign_chunk(chunk)
        self._batches.append(batch)
        self._chunks += chunks
        if len(self._batches) >= BATCHES_AT_ONCE:
            self.insert()

    def insert(self) -> None:
        """Insert what was added. Raises DatabaseError."""
        Batch.objects.bulk_create(self._batches)
        BatchChunk.objects.bulk_create(self._chunks, batch_size=500)
        self._batches, self._chunks = [], []


def _chunk(batch: Batch, number: int, cids: list[str], attempts: list[MadeAttempt]) -> BatchChunk:
    """Return a chunk, as it is after its attempt if there was one."""
    opening = attempts[0].opening
    chunk = BatchChunk(
        batch=batch,
        number=number,
        cluster_url=opening["cluster_url"],
        action_code=opening["action_code"],
        action_sent=opening["action_sent"],
        cids=cids,
        customer_count=len(cids),
    )
    if number < len(attempts):
        attempt = attempts[number]
        kind, body = attempt.events[-1] if attempt.events else (Kind.INTENT, {})
        is_applied = kind == Kind.DECIDED and body["ruling"] == Ruling.APPLIED
        chunk.state = STATES.get(kind) or (State.ACCEPTED if is_applied else State.NOT_APPLIED)
        chunk.attempt_id, chunk.started_at, chunk.ended_at = attempt.attempt_id, attempt.at, attempt.last_at
        chunk.http_status = body.get("http_status")
        chunk.message = "" if chunk.state == State.ACCEPTED else body.get("message", "")
    return chunk


def _new_chunk(chunk: BatchChunk) -> NewChunk:
    return NewChunk(
        cluster_url=chunk.cluster_url, action_code=chunk.action_code, action_sent=chunk.action_sent, cids=chunk.cids
    )
