"""What follows from the outcome of a chunk's attempt, case by case."""

import uuid
from types import SimpleNamespace

import pytest

from audit.choices import Outcome
from jobs.models import Batch, BatchChunk
from setactions.batches import policy
from setactions.batches.policy import follow, is_failure, mirror

State, Paused, Stopped = BatchChunk.State, Batch.State.PAUSED, Batch.State.STOPPED


def result(outcome, status=None, message="", retry_after_s=None, refusal_code=None):
    """As much of an attempt's result as is looked at."""
    return SimpleNamespace(
        outcome=outcome,
        http_status=status,
        message=message,
        retry_after_s=retry_after_s,
        refusal_code=refusal_code,
        attempt_id=uuid.uuid4(),
    )


def after(*args, failures=0, in_a_row=0, tries=1, cids=("a", "b"), **kwargs):
    chunk = SimpleNamespace(tries=tries, cids=list(cids))
    return follow(result(*args, **kwargs), chunk, failures=failures, in_a_row=in_a_row)


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
    settled = after(outcome, 404 if outcome == Outcome.REJECTED else None)
    assert (settled.state, settled.again, settled.batch_state) == (state, False, None)


@pytest.mark.parametrize("status", [429, 503])
def test_a_cluster_that_asks_for_fewer_calls_is_spared_for_as_long_as_it_says(status):
    settled = after(Outcome.REJECTED, status, retry_after_s=7)
    assert (settled.state, settled.again, settled.slow_s, settled.batch_state) == (State.WAITING, True, 7, None)
    longest = after(Outcome.REJECTED, status, retry_after_s=10**9)
    assert longest.slow_s == policy.MAX_RETRY_AFTER_S


@pytest.mark.parametrize(("failures", "longest"), [(0, 2), (1, 4), (3, 16), (6, 60)])
def test_without_such_a_word_it_is_spared_longer_each_time_within_bounds(failures, longest):
    spared = [after(Outcome.REJECTED, 429, failures=failures).slow_s for _ in range(200)]
    assert longest / 2 <= min(spared) < max(spared) <= longest


def test_a_cluster_that_never_stops_asking_gets_no_more_calls():
    settled = after(Outcome.REJECTED, 429, failures=policy.MAX_BACK_OFFS)
    assert (settled.batch_state, settled.state, settled.again) == (Stopped, State.WAITING, True)
    assert "Go on later" in settled.reason
    assert after(Outcome.REJECTED, 429, tries=policy.MAX_TRIES).state == State.REJECTED


def test_503_of_unknown_effect_spares_the_cluster_and_is_not_tried_again():
    settled = after(Outcome.UNKNOWN, 503, retry_after_s=9)
    assert (settled.state, settled.again, settled.slow_s) == (State.UNKNOWN, False, 9)
    assert after(Outcome.UNKNOWN, 500).slow_s is None


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_not_taken_pauses(status):
    settled = after(Outcome.REJECTED, status, "no")
    assert (settled.state, settled.again, settled.batch_state, settled.resume_s) == (State.WAITING, True, Paused, None)
    assert "token" in settled.reason


def test_a_tms_that_is_not_ready_is_asked_again_until_it_was_asked_often_enough():
    first = after(Outcome.REJECTED, 200, "PE is not Ready")
    assert (first.batch_state, first.resume_s, first.slow_s) == (Paused, 5, 5)
    last = after(Outcome.REJECTED, 200, "PE is not Ready", failures=len(policy.RECHECKS_S))
    assert (last.batch_state, last.resume_s) == (Stopped, None)


@pytest.mark.parametrize(
    ("refusal_code", "state", "batch_state"),
    [(403, State.WAITING, Stopped), (503, State.WAITING, None), (409, State.REFUSED, None)],
)
def test_what_was_stopped_here_waits_unless_it_is_wrong_in_itself(refusal_code, state, batch_state):
    settled = after(Outcome.REFUSED, message="why", refusal_code=refusal_code)
    assert (settled.state, settled.batch_state, settled.again) == (state, batch_state, False)


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.NOT_SENT, Outcome.REFUSED])
def test_the_fifth_failure_in_a_row_stops_the_batch(outcome):
    assert after(outcome, in_a_row=3, refusal_code=409).batch_state is None
    settled = after(outcome, in_a_row=4, message="why", refusal_code=409)
    assert settled.batch_state == Stopped
    assert settled.reason.endswith("The last one: why")


def test_what_will_be_tried_again_is_no_failure():
    assert not is_failure(after(Outcome.REJECTED, 429))
    assert not is_failure(after(Outcome.ACCEPTED))
    assert is_failure(after(Outcome.UNKNOWN))
    assert is_failure(after(Outcome.REFUSED, refusal_code=503))


@pytest.mark.parametrize("status", [401, 403, 429, 503])
def test_a_chunk_in_doubt_that_turns_out_to_be_put_off_waits_again(status):
    chunk = SimpleNamespace(tries=1, cids=["a"])
    settled = mirror(result(Outcome.REJECTED, status), chunk)
    assert (settled.state, settled.again, settled.batch_state) == (State.WAITING, True, None)
    assert mirror(result(Outcome.REJECTED, 404), chunk).state == State.REJECTED
    assert mirror(result(Outcome.PENDING), chunk).state == State.UNKNOWN
