"""What follows from the outcome of a chunk's attempt: for the chunk, for its cluster, and for its batch."""

import random
from dataclasses import replace

from audit.choices import Outcome
from jobs.batches.ledger import Settled
from jobs.models import Batch, BatchChunk
from setactions.results import Result
from setactions.tms.unknown_ids import find_repair

State, Paused, Stopped = BatchChunk.State, Batch.State.PAUSED, Batch.State.STOPPED

MAX_TRIES = 20  # of a chunk for which its cluster asks for fewer calls, while it accepts others
MAX_BACK_OFFS = 7  # in a row; a cluster that goes on asking for fewer calls gets none
MAX_BACK_OFF_S = 60
MAX_RETRY_AFTER_S = 900  # a gateway that asks for more is asked again after this
NOT_READY = "not Ready"  # in the message of a TMS that is still starting
# When a TMS that is starting is asked again. After the last one its batch stops.
RECHECKS_S = (5, 10, 20, 40, 60, 60, 60, 60)
IN_A_ROW = 5  # so many chunks that failed one after the other stop their batch
_STATES = {
    Outcome.ACCEPTED: State.ACCEPTED,
    Outcome.APPLIED: State.ACCEPTED,
    Outcome.DECIDED_APPLIED: State.ACCEPTED,
    Outcome.NOT_APPLIED: State.NOT_APPLIED,
    Outcome.DECIDED_NOT_APPLIED: State.NOT_APPLIED,
    Outcome.REJECTED: State.REJECTED,
    Outcome.NOT_SENT: State.NOT_SENT,
    Outcome.REFUSED: State.REFUSED,
    Outcome.UNKNOWN: State.UNKNOWN,
    Outcome.PENDING: State.UNKNOWN,  # asked about a chunk that nobody is sending any more
}


def follow(result: Result, chunk: BatchChunk, *, failures: int, in_a_row: int) -> Settled:
    """Return what is to be written of a chunk whose attempt ended with `result`.

    `failures` is how often in a row its cluster asked to be spared, `in_a_row` how many chunks before this one
    failed one after the other.
    """
    if result.outcome == Outcome.REJECTED:
        return _stopped_by(_rejected(result, chunk, failures), in_a_row)
    if result.outcome == Outcome.REFUSED:
        return _stopped_by(_refused(result, in_a_row), in_a_row)
    spared = result.http_status == 503 and result.outcome == Outcome.UNKNOWN
    return _stopped_by(_settled(result, slow_s=_back_off_s(result, failures) if spared else None), in_a_row)


def mirror(result: Result, chunk: BatchChunk) -> Settled:
    """Return what is to be written of a chunk in doubt, now that `result` is known of its attempt."""
    if result.outcome == Outcome.REJECTED and (
        result.http_status in (401, 403, 429, 503) or NOT_READY in result.message
    ):
        return _settled(result, State.WAITING, again=True)  # nothing is wrong with the chunk itself
    return _rejected_list(result, chunk) if result.outcome == Outcome.REJECTED else _settled(result)


def _settled(result: Result, state: BatchChunk.State | None = None, **further: object) -> Settled:
    return Settled(
        state=state or _STATES[result.outcome],
        message=result.message,
        http_status=result.http_status,
        attempt_id=result.attempt_id,
        **further,  # type: ignore[arg-type]
    )


def _rejected(result: Result, chunk: BatchChunk, failures: int) -> Settled:
    status = result.http_status
    if status in (429, 503) and chunk.tries < MAX_TRIES:
        again = _settled(result, State.WAITING, again=True, slow_s=_back_off_s(result, failures))
        reason = f"The cluster goes on asking for fewer calls: {result.message} Go on later."
        return again if failures < MAX_BACK_OFFS else replace(again, batch_state=Stopped, reason=reason)
    if status in (401, 403):
        reason = f"TMS does not take the token (HTTP {status}): {result.message} Go on with a new one."
        return _settled(result, State.WAITING, again=True, batch_state=Paused, reason=reason)
    if status in (200, 201) and NOT_READY in result.message:
        return _not_ready(result, failures)
    return _rejected_list(result, chunk)


def _not_ready(result: Result, failures: int) -> Settled:
    if failures >= len(RECHECKS_S):
        reason = f"The cluster's TMS did not get ready: {result.message}. Go on later."
        return _settled(result, State.WAITING, again=True, batch_state=Stopped, reason=reason)
    delay_s = RECHECKS_S[failures]
    reason = f"The cluster's TMS is not ready: {result.message}. It is asked again by itself."
    return _settled(
        result, State.WAITING, again=True, slow_s=delay_s, batch_state=Paused, resume_s=delay_s, reason=reason
    )


def _rejected_list(result: Result, chunk: BatchChunk) -> Settled:
    repair = find_repair(result.message, chunk.cids)
    if repair is None:
        return _settled(result)
    state = State.SET_ASIDE if repair.known else State.REJECTED
    return _settled(result, state, set_aside=frozenset(repair.unknown))


def _refused(result: Result, in_a_row: int) -> Settled:
    if result.refusal_code == 403:  # the user's account, which may have been changed meanwhile
        return _settled(result, State.WAITING, batch_state=Stopped, reason=result.message)
    if result.refusal_code == 503:  # a database, or too many calls: it may pass
        return _settled(result, State.WAITING, wait_s=2**in_a_row)
    return _settled(result)


def _stopped_by(settled: Settled, in_a_row: int) -> Settled:
    """Return the same, stopping the batch if it is one failure too many."""
    if is_failure(settled) and in_a_row + 1 >= IN_A_ROW and not settled.batch_state:
        reason = f"{IN_A_ROW} chunks failed one after the other. The last one: {settled.message}"
        return replace(settled, batch_state=Stopped, reason=reason)
    return settled


def is_failure(settled: Settled) -> bool:
    """Tell whether a chunk failed: not what TMS takes, nor what will be tried again because TMS asked so."""
    return settled.state != State.ACCEPTED and not settled.again


def _back_off_s(result: Result, failures: int) -> float:
    """Return for how many seconds a cluster is spared: as it asks, else longer each time, with jitter."""
    if result.retry_after_s is not None:
        return min(result.retry_after_s, MAX_RETRY_AFTER_S)
    longest: int = min(MAX_BACK_OFF_S, 2 ** (failures + 1))
    return longest * random.uniform(0.5, 1)  # noqa: S311 (no secret)
