"""What a runner does with a batch, against the simulator over real HTTP."""

import pytest
from django.db import OperationalError, connections

from audit.models import Attempt
from jobs.batches import ledger
from jobs.batches.scopes import Scope
from jobs.models import Batch, BatchChunk, Job
from setactions.batches import policy
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import threads, until

State = BatchChunk.State
pytestmark = pytest.mark.usefixtures("databases")


def states(batch):
    return list(batch.chunks.order_by("number").values_list("state", flat=True))


def sent(tms):
    return [list(call.cids) for call in tms.calls()]


def test_every_chunk_is_an_attempt_with_a_job_of_the_batch(make_batch, run, tms):
    batch = run(make_batch(count=5, size=2))
    assert (batch.state, states(batch)) == (Batch.State.DONE, [State.ACCEPTED] * 3)
    assert sent(tms) == [["c0", "c1"], ["c2", "c3"], ["c4"]]
    jobs = Job.objects.order_by("id")
    assert {job.batch_id for job in jobs} == {batch.batch_id}
    assert [job.job_id for job in jobs] == [chunk.attempt_id for chunk in batch.chunks.order_by("number")]
    assert set(Attempt.objects.values_list("source", "user_id")) == {("batch", "olivia")}


def test_a_batch_that_is_done_sends_nothing_again(make_batch, run, tms):
    batch = run(run(make_batch(count=4)))
    assert (batch.state, len(tms.calls())) == (Batch.State.DONE, 2)


def test_a_chunk_that_tms_asks_to_send_later_becomes_a_new_attempt(make_batch, run, tms, monkeypatch):
    tms.script("", "fault:http:429:0")
    batch = run(make_batch(count=6))
    assert states(batch) == [State.ACCEPTED] * 3
    assert sent(tms) == [["c0", "c1"], ["c2", "c3"], ["c2", "c3"], ["c4", "c5"]]
    assert list(batch.chunks.order_by("number").values_list("tries", flat=True)) == [1, 2, 1]


def test_a_token_that_tms_does_not_take_pauses_the_batch(make_batch, run, tms):
    tms.script("", "fault:unauthorized")
    batch = run(make_batch(count=6))
    assert (batch.state, states(batch)) == (Batch.State.PAUSED, [State.ACCEPTED, State.WAITING, State.WAITING])
    assert "token" in batch.reason
    assert run(batch).state == Batch.State.DONE
    assert sent(tms)[-2:] == [["c2", "c3"], ["c4", "c5"]]


def test_a_tms_that_is_not_ready_is_asked_again(make_batch, run, tms, monkeypatch):
    monkeypatch.setattr(policy, "RECHECKS_S", (0.01, 0.01))
    tms.script("fault:not-ready", "fault:not-ready")
    assert run(make_batch(count=4)).state == Batch.State.DONE
    assert sent(tms) == [["c0", "c1"]] * 3 + [["c2", "c3"]]


def test_a_tms_that_never_gets_ready_stops_the_batch(make_batch, run, tms, monkeypatch):
    monkeypatch.setattr(policy, "RECHECKS_S", (0.01, 0.01))
    tms.script(*["fault:not-ready"] * 3)
    batch = run(make_batch(count=4))
    assert (batch.state, states(batch)) == (Batch.State.STOPPED, [State.WAITING] * 2)


def test_five_failures_in_a_row_stop_the_batch(make_batch, run, tms):
    tms.script("fault:http:500", "", *["fault:http:500", "fault:http:400"] * 3)
    batch = run(make_batch(count=20))
    assert batch.state == Batch.State.STOPPED
    assert states(batch)[:7] == ["unknown", "accepted", *["unknown", "rejected"] * 2, "unknown"]
    # On a slow machine the success may be recorded after the failure that follows it, which then counts as one before.
    assert states(batch)[7:] in (["waiting"] * 3, ["rejected", *["waiting"] * 2])


def test_unknown_ids_are_set_aside(make_batch, run, tms):
    tms.script("fault:unknown-ids:1")
    batch = run(make_batch(count=4))
    assert states(batch) == [State.SET_ASIDE, State.ACCEPTED]
    assert ledger.retry(batch, Scope.REST) == 0
    assert ledger.retry(batch, Scope.REST_WITHOUT_UNKNOWN_IDS) == 1
    assert states(run(batch)) == [State.ACCEPTED] * 2
    assert sent(tms) == [["c0", "c1"], ["c2", "c3"], ["c1"]]
    assert batch.chunks.get(number=0).set_aside == ["c0"]


def test_first_one_then_the_rest(make_batch, run, tms):
    batch = make_batch(count=3, size=1, first_only=True)
    with threads() as submit:
        running = submit(run, batch, workers=2)
        until(lambda: Batch.objects.get().state == Batch.State.PAUSED)
        assert sent(tms) == [["c0"]]
        assert ledger.resume(Batch.objects.get())
        assert running.result(timeout=60).state == Batch.State.DONE
    assert sorted(sent(tms)) == [["c0"], ["c1"], ["c2"]]


@pytest.mark.parametrize("state", [State.REFUSED, State.REJECTED])
def test_whoever_goes_on_after_the_first_one_came_to_nothing_sends_the_rest(state, make_batch, run, tms):
    batch = make_batch(count=4, first_only=True)
    batch.chunks.filter(number=0).update(state=state)
    with threads() as submit:
        running = submit(run, batch, workers=1)
        until(lambda: Batch.objects.get().state == Batch.State.PAUSED or running.done())
        ledger.resume(Batch.objects.get())
        assert running.result(timeout=60).state == Batch.State.DONE
    assert sent(tms) == [["c2", "c3"]]


def test_a_first_one_that_somebody_else_asked_for_is_skipped_and_the_batch_waits(make_batch, run, tms, fetch, oscar):
    batch = make_batch(count=3, size=1, first_only=True)
    assert fetch(cids=["c0"], client=signed_in(oscar), sendAgain=True).status_code == 200
    with threads() as submit:
        running = submit(run, batch, workers=2)
        until(lambda: Batch.objects.get().state == Batch.State.PAUSED)
        assert states(batch) == [State.REFUSED, State.WAITING, State.WAITING]
        assert "so it was skipped" in Batch.objects.get().reason
        assert ledger.resume(Batch.objects.get())
        assert running.result(timeout=60).state == Batch.State.DONE
    assert sorted(sent(tms)) == [["c0"], ["c1"], ["c2"]]


def test_the_next_call_does_not_wait_until_the_one_before_is_recorded(make_batch, run, tms, monkeypatch):
    settle = ledger.settle

    def settle_late(chunk, decision):
        if chunk.number == 0:
            tms.wait_for(lambda calls: len(calls) == 2)
        return settle(chunk, decision)

    monkeypatch.setattr(ledger, "settle", settle_late)
    assert states(run(make_batch(count=4))) == [State.ACCEPTED] * 2


def test_after_a_refusal_the_next_call_waits_until_it_is_recorded(make_batch, run, tms, monkeypatch):
    settle, calls_then = ledger.settle_in_row, []

    def settle_late(*arguments):
        calls_then.append(len(tms.calls()))
        return settle(*arguments)

    monkeypatch.setattr(ledger, "settle_in_row", settle_late)
    tms.script(*["fault:http:400"] * 4)
    run(make_batch(count=8))
    assert calls_then == [1, 2, 3, 4]


@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_calls_run_at_once_than_are_allowed(workers, make_batch, run, tms, settings):
    settings.TMS_BATCH_CALLS = 2
    tms.script(*["fault:slow:3600"] * 2)
    batch = make_batch(count=12)
    allowed = min(workers, 2)
    with threads() as submit:
        running = submit(run, batch, workers=workers)
        tms.wait_for(lambda calls: len(calls) == allowed)
        until(lambda: batch.chunks.filter(state=State.CALLING).count() == allowed)
        assert ledger.stop(batch, "The test stops it.")
        tms.release()
        running.result(timeout=60)
    assert len(tms.calls()) == allowed


def test_a_token_that_is_an_id_of_the_list_stops_the_batch_before_its_chunk_is_sent(make_batch, run, tms):
    batch = run(make_batch(count=4), token="c2")
    assert (batch.state, states(batch)) == (Batch.State.STOPPED, [State.ACCEPTED, State.WAITING])
    assert "The bearer token is among the customer ids" in batch.reason
    assert sent(tms) == [["c0", "c1"]]


def test_a_runner_that_cannot_prepare_stops_its_batch_and_says_why(make_batch, run, tms, monkeypatch):
    def fail(*_):
        raise OperationalError("database is locked")

    monkeypatch.setattr(ledger, "retry", fail)
    batch = run(make_batch(count=4))
    assert (batch.state, batch.runner, tms.calls()) == (Batch.State.STOPPED, "", [])
    assert "The dashboard itself failed; its log says why." in batch.reason


@pytest.mark.postgresql
def test_workers_that_wait_hold_no_connections(make_batch, run, tms):
    tms.script("fault:slow:3600", "fault:slow:3600")
    batch = make_batch(count=12)
    with threads() as submit:
        running = submit(run, batch, workers=3)
        try:
            tms.wait_for(lambda calls: len(calls) == 2)
            assert ledger.pause(batch, "The test pauses it.")
            connections.close_all()
            assert in_use("audit") >= 2  # those that call
            tms.release()
            until(lambda: in_use("audit") == 0)
        finally:
            tms.release()
            ledger.stop(batch, "The test stops it.")
            running.result(timeout=60)


def in_use(alias):
    """How many connections of its pool are with somebody."""
    pool = connections[alias].pool
    return pool._max_size - pool._slots._value
