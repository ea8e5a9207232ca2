"""What follows from the outcome of a chunk's attempt, case by case."""

import uuid
from types import SimpleNamespace

import pytest

from audit.choices import Outcome
from jobs.models import Batch, BatchChunk
from setactions.batches import policy
from setactions.batches.policy import decide, decide_afterwards

State, Paused, Stopped = BatchChunk.State, Batch.State.PAUSED, Batch.State.STOPPED


def result(outcome, status=None, message="", retry_after_s=None, refusal_code=None, overlap=None, errors=None):
    """As much of an attempt's result as is looked at."""
    return SimpleNamespace(
        outcome=outcome,
        http_status=status,
        message=message,
        retry_after_s=retry_after_s,
        refusal_code=refusal_code,
        overlap=overlap,
        errors=errors,
        attempt_id=uuid.uuid4(),
    )


def after(*args, backoffs=0, failures=0, tries=1, cids=("a", "b"), **kwargs):
    chunk = SimpleNamespace(tries=tries, cids=list(cids))
    return decide(result(*args, **kwargs), chunk, backoffs=backoffs, failures=failures)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.ACCEPTED, State.ACCEPTED),
        (Outcome.NOT_SENT, State.NOT_SENT),
        (Outcome.UNKNOWN, State.UNKNOWN),
        (Outcome.NOT_APPLIED, State.NOT_APPLIED),
        (Outcome.REJECTED, State.REJECTED),
    ],
)
def test_an_outcome_is_the_chunks_state(outcome, state):
    decision = after(outcome, 404 if outcome == Outcome.REJECTED else None)
    assert (decision.state, decision.retry, decision.batch_state) == (state, False, None)


@pytest.mark.parametrize("status", [429, 503])
def test_a_cluster_that_asks_for_fewer_calls_is_left_alone_for_as_long_as_it_says(status):
    decision = after(Outcome.REJECTED, status, retry_after_s=7)
    assert (decision.state, decision.retry, decision.backoff_s, decision.batch_state) == (State.WAITING, True, 7, None)
    longest = after(Outcome.REJECTED, status, retry_after_s=10**9)
    assert longest.backoff_s == policy.MAX_RETRY_AFTER_S


@pytest.mark.parametrize(("backoffs", "longest"), [(0, 2), (1, 4), (3, 16), (6, 60)])
def test_without_such_a_word_it_is_left_alone_longer_each_time_within_bounds(backoffs, longest):
    waits = [after(Outcome.REJECTED, 429, backoffs=backoffs).backoff_s for _ in range(200)]
    assert longest / 2 <= min(waits) < max(waits) <= longest


def test_a_cluster_that_never_stops_asking_gets_no_more_calls():
    decision = after(Outcome.REJECTED, 429, "Too many", backoffs=policy.MAX_BACKOFFS)
    assert (decision.batch_state, decision.state, decision.retry) == (Stopped, State.WAITING, True)
    assert decision.reason.endswith("fewer calls: Too many. Go on later.")
    assert after(Outcome.REJECTED, 429, tries=policy.MAX_TRIES).state == State.REJECTED


def test_503_of_unknown_effect_leaves_the_cluster_alone_and_is_not_tried_again():
    decision = after(Outcome.UNKNOWN, 503, retry_after_s=9)
    assert (decision.state, decision.retry, decision.backoff_s) == (State.UNKNOWN, False, 9)
    assert after(Outcome.UNKNOWN, 500).backoff_s is None


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_not_taken_pauses(status):
    decision = after(Outcome.REJECTED, status, "no")
    assert (decision.state, decision.retry, decision.batch_state, decision.resume_s) == (
        State.WAITING,
        True,
        Paused,
        None,
    )
    assert decision.reason == f"TMS does not accept the token (HTTP {status}): no. Go on with a new one."


def test_a_tms_that_is_not_ready_is_asked_again_until_it_was_asked_often_enough():
    first = after(Outcome.REJECTED, 200, "PE is not Ready")
    assert (first.batch_state, first.resume_s, first.backoff_s) == (Paused, 5, 5)
    last = after(Outcome.REJECTED, 200, "PE is not Ready", backoffs=len(policy.RECHECKS_S))
    assert (last.batch_state, last.resume_s) == (Stopped, None)
    assert first.reason == "The cluster's TMS is not ready: PE is not Ready. It is tried again automatically."
    assert after(Outcome.REJECTED, 200, "PE is not Ready.").reason == first.reason


@pytest.mark.parametrize(
    ("refusal_code", "state", "batch_state"),
    [(403, State.WAITING, Stopped), (503, State.WAITING, None), (409, State.REFUSED, None)],
)
def test_what_was_stopped_here_waits_unless_it_is_wrong_in_itself(refusal_code, state, batch_state):
    decision = after(Outcome.REFUSED, message="why", refusal_code=refusal_code)
    assert (decision.state, decision.batch_state, decision.retry) == (state, batch_state, False)


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.NOT_SENT, Outcome.REFUSED])
def test_the_fifth_failure_in_a_row_stops_the_batch(outcome):
    assert after(outcome, failures=3, refusal_code=409).batch_state is None
    decision = after(outcome, failures=4, message="why", refusal_code=409)
    assert decision.batch_state == Stopped
    assert decision.reason.endswith("The last one: why.")


def test_a_chunk_whose_customers_were_asked_for_meanwhile_stops_no_others():
    shared = {"overlap": {"count": 1}, "errors": {"cids": ["1 customer was.", *["Who asked."] * 99, "What to do."]}}
    decision = after(Outcome.REFUSED, failures=4, message="why", refusal_code=409, **shared)
    assert decision.message == "1 customer was. Run the rest offers it again."
    assert (decision.state, decision.is_skipped, decision.batch_state) == (State.REFUSED, True, None)
    assert not decision.is_failure


def test_what_will_be_tried_again_is_no_failure():
    assert not after(Outcome.REJECTED, 429).is_failure
    assert not after(Outcome.ACCEPTED).is_failure
    no_room = after(Outcome.REFUSED, refusal_code=503, retry_after_s=10, failures=4)
    assert (no_room.is_failure, no_room.state, no_room.delay_s, no_room.batch_state) == (False, State.WAITING, 10, None)
    assert after(Outcome.UNKNOWN).is_failure
    assert after(Outcome.REFUSED, refusal_code=503).is_failure


@pytest.mark.parametrize("status", [401, 403, 429, 503])
def test_a_chunk_in_doubt_that_turns_out_to_be_put_off_waits_again(status):
    chunk = SimpleNamespace(tries=1, cids=["a"])
    decision = decide_afterwards(result(Outcome.REJECTED, status), chunk)
    assert (decision.state, decision.retry, decision.batch_state) == (State.WAITING, True, None)
    assert decide_afterwards(result(Outcome.REJECTED, 404), chunk).state == State.REJECTED
    assert decide_afterwards(result(Outcome.PENDING), chunk).state == State.UNKNOWN
