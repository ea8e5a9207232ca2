"""What follows from the outcome of a chunk's attempt: for the chunk, for its cluster, and for its batch.

1. A chunk is sent again only if TMS said no to it for a reason that is not the chunk's: too many calls (429, 503),
   a token that it does not take (401, 403), or a TMS that is not ready. What is unknown never is.
2. A cluster that asks for fewer calls gets none for as long as it says, or else for longer each time. One that goes
   on asking stops the batch.
3. A token that TMS does not take pauses the batch, so that its owner can go on with another one.
4. Ids that TMS does not know are set aside. What is left of their chunk goes when its owner says so.
5. Chunks that fail one after the other stop the batch: something is wrong that further calls will not fix.
6. A chunk whose customers somebody else asked for meanwhile is skipped: it is refused, and the others go on. Its owner
   may run it later.
"""

import random
from dataclasses import replace

from audit.choices import Outcome
from jobs.batches.decision import ChunkDecision, delay_after
from jobs.models import Batch, BatchChunk
from setactions.inputs.ids import FIELD
from setactions.results import Result
from setactions.tms.unknown_ids import find_repair
from tmsdash.text import sentence

State, Paused, Stopped = BatchChunk.State, Batch.State.PAUSED, Batch.State.STOPPED

MAX_TRIES = 20  # of a chunk for which its cluster asks for fewer calls while it accepts others
MAX_BACKOFFS = 7  # of a cluster, one after the other
MAX_BACKOFF_S = 60
MAX_RETRY_AFTER_S = 900  # a gateway that asks for more gets its next call after this
NOT_READY = "not Ready"  # in the message of a TMS that is still starting
# After how many seconds a TMS that is starting gets its next call. After the last one its batch stops.
RECHECKS_S = (5, 10, 20, 40, 60, 60, 60, 60)
RUN_AGAIN = "Run the rest offers it again."
FAILURES_THAT_STOP = 5  # chunks, one after the other
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


def decide(result: Result, chunk: BatchChunk, *, backoffs: int, failures: int) -> ChunkDecision:
    """Decide on a chunk whose call just ended with `result`.

    `backoffs` is how often in a row its cluster asked for fewer calls, `failures` how many chunks before this one
    failed one after the other.
    """
    if result.outcome == Outcome.REJECTED:
        decision = _decide_rejected(result, chunk, backoffs)
    elif result.outcome == Outcome.REFUSED:
        decision = _decide_refused(result, failures)
    else:
        is_overloaded = result.http_status == 503 and result.outcome == Outcome.UNKNOWN
        decision = _decision(result, backoff_s=_backoff_s(result, backoffs) if is_overloaded else None)
    if decision.is_failure and failures + 1 >= FAILURES_THAT_STOP and not decision.batch_state:
        reason = f"{FAILURES_THAT_STOP} chunks failed one after the other. The last one: {sentence(decision.message)}"
        return replace(decision, batch_state=Stopped, reason=reason)
    return decision


def decide_afterwards(result: Result, chunk: BatchChunk) -> ChunkDecision:
    """Decide on a chunk in doubt, now that the audit knows the `result` of its attempt.

    The cluster and the batch are left as they are: the call was over long ago.
    """
    if result.outcome != Outcome.REJECTED:
        return _decision(result)
    if result.http_status in (401, 403, 429, 503) or NOT_READY in result.message:
        return _decision(result, State.WAITING, retry=True)
    return _decide_list(result, chunk)


def _decision(result: Result, state: BatchChunk.State | None = None, **consequences: object) -> ChunkDecision:
    return ChunkDecision(
        state=state or _STATES[result.outcome],
        message=result.message,
        http_status=result.http_status,
        attempt_id=result.attempt_id,
        **consequences,  # type: ignore[arg-type]
    )


def _decide_rejected(result: Result, chunk: BatchChunk, backoffs: int) -> ChunkDecision:
    status = result.http_status
    if status in (429, 503) and chunk.tries < MAX_TRIES:
        decision = _decision(result, State.WAITING, retry=True, backoff_s=_backoff_s(result, backoffs))
        reason = f"The cluster keeps asking for fewer calls: {sentence(result.message)} Go on later."
        return decision if backoffs < MAX_BACKOFFS else replace(decision, batch_state=Stopped, reason=reason)
    if status in (401, 403):
        reason = f"TMS does not accept the token (HTTP {status}): {sentence(result.message)} Go on with a new one."
        return _decision(result, State.WAITING, retry=True, batch_state=Paused, reason=reason)
    if status in (200, 201) and NOT_READY in result.message:
        return _decide_not_ready(result, backoffs)
    return _decide_list(result, chunk)


def _decide_not_ready(result: Result, backoffs: int) -> ChunkDecision:
    if backoffs >= len(RECHECKS_S):
        reason = f"The cluster's TMS did not get ready: {sentence(result.message)} Go on later."
        return _decision(result, State.WAITING, retry=True, batch_state=Stopped, reason=reason)
    wait_s = RECHECKS_S[backoffs]
    reason = f"The cluster's TMS is not ready: {sentence(result.message)} It is tried again automatically."
    return _decision(
        result, State.WAITING, retry=True, backoff_s=wait_s, batch_state=Paused, resume_s=wait_s, reason=reason
    )


def _decide_list(result: Result, chunk: BatchChunk) -> ChunkDecision:
    """Decide on a chunk that TMS rejected as it is: perhaps only for some of its ids."""
    repair = find_repair(result.message, chunk.cids)
    if repair is None:
        return _decision(result)
    state = State.SET_ASIDE if repair.known else State.REJECTED
    return _decision(result, state, set_aside=frozenset(repair.unknown))


def _decide_refused(result: Result, failures: int) -> ChunkDecision:
    if result.refusal_code == 403:  # the user's account, which may have been changed meanwhile, or a forged chunk
        return _decision(result, State.WAITING, batch_state=Stopped, reason=result.message)
    if result.retry_after_s is not None:  # no room among the calls of all, which says nothing about this batch
        return _decision(result, State.WAITING, is_skipped=True, delay_s=result.retry_after_s)
    if result.refusal_code == 503:  # a database: it may pass
        return _decision(result, State.WAITING, delay_s=delay_after(failures))
    if result.overlap is None:
        return _decision(result)
    # All its sentences would not fit, and running the rest names everybody who asked, as it is then.
    message = f"{result.errors[FIELD][0]} {RUN_AGAIN}"
    return replace(_decision(result, is_skipped=True), message=message)


def _backoff_s(result: Result, backoffs: int) -> float:
    """Return for how many seconds a cluster gets no call: as it asks, or else longer each time, with jitter."""
    if result.retry_after_s is not None:
        return min(result.retry_after_s, MAX_RETRY_AFTER_S)
    longest: int = min(MAX_BACKOFF_S, 2 ** (backoffs + 1))
    return longest * random.uniform(0.5, 1)  # noqa: S311 (no secret)
