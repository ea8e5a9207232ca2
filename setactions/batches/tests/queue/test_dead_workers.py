"""Workers that die, or are asked to end, in the middle of a call."""

import signal
from datetime import timedelta

import pytest
from celery.signals import worker_process_init
from django.utils import timezone

from jobs.batches import ledger
from jobs.batches.decision import ChunkDecision
from jobs.models import Batch, BatchChunk
from setactions.batches import queued
from setactions.batches.recovery import catch_up
from setactions.batches.runs import Run
from setactions.batches.tests.queue.queueing import now, start, states

pytestmark = [pytest.mark.usefixtures("databases", "engine"), getattr(pytest.mark, "redis-server")]
State = BatchChunk.State


@pytest.mark.parametrize("is_begun", [False, True])
def test_a_chunk_whose_worker_died_is_looked_up_once_its_call_is_certainly_over(make_batch, workers, is_begun, tms):
    batch = make_batch(count=2, size=2)
    start(batch)
    run = now(batch).runner
    chunk = ledger.claim(batch, run, 2)
    if is_begun:
        tms.script("fault:reset-after")
        turn = queued._Turn(Run.unsealed(batch.batch_id, run, workers.take()["sealed"]), batch)
        turn._carrier._send(chunk, lambda: None)
    catch_up(now(batch))
    assert states(batch) == [State.CALLING]
    BatchChunk.objects.update(started_at=timezone.now() - timedelta(days=1))
    workers.do_next()
    assert states(batch) == [State.UNKNOWN if is_begun else State.WAITING]
    workers.do_all()
    assert states(batch) == [State.UNKNOWN if is_begun else State.ACCEPTED]
    assert len(tms.calls()) == 1


def test_a_worker_that_was_frozen_for_a_lease_goes_on_unless_somebody_took_the_place_of_its_run(make_batch, workers):
    start(batch := make_batch(count=2, size=2))
    run = now(batch).runner
    ledger.claim(batch, run, 2)
    turn = queued._Turn(Run.unsealed(batch.batch_id, run, workers.take()["sealed"]), batch)
    Batch.objects.filter(pk=batch.pk).update(runner_until=timezone.now())
    turn._poll()
    assert (now(batch).state, now(batch).runner, now(batch).has_runner) == (Batch.State.RUNNING, run, True)
    Batch.objects.filter(pk=batch.pk).update(runner="queue:0:another", runner_until=timezone.now())
    turn._poll()
    assert not now(batch).has_runner


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_all_processes_of_a_worker_interrupts_no_call(number):
    """As systemd sends it: the main process waits for the calls of the others, if these do not end before it."""
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        signal.signal(number, lambda *_: pytest.fail("a call was interrupted"))
        worker_process_init.send(sender=None)
        signal.raise_signal(number)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def test_a_short_lease_ends_no_call_before_its_deadline(make_batch, settings):
    settings.TMS_BATCH_LEASE_S = 1
    batch = make_batch(count=2, size=2)
    start(batch)
    ledger.claim(batch, now(batch).runner, 2)
    BatchChunk.objects.update(started_at=timezone.now() - timedelta(seconds=settings.TMS_DEADLINE_S))
    catch_up(now(batch))
    assert states(batch) == [State.CALLING]


def test_a_call_of_a_run_that_was_handed_over_is_no_unknown_one_while_its_worker_may_live(make_batch, engine, server):
    start(batch := make_batch(count=4, size=2))
    old = now(batch).runner
    chunk = ledger.claim(batch, old, 2)
    server.client.flushall()
    Batch.objects.filter(pk=batch.pk).update(runner_until=timezone.now())
    assert queued.relay.look_after(engine[0], is_working=False) is not engine[0]
    catch_up(now(batch))
    assert states(batch) == [State.CALLING, State.WAITING]
    assert ledger.settle(chunk, ChunkDecision(state=State.ACCEPTED))
    assert states(batch) == [State.ACCEPTED, State.WAITING]


def test_a_call_of_a_run_that_was_given_back_is_looked_up_once_it_is_certainly_over(make_batch):
    start(batch := make_batch(count=4, size=2))
    ledger.claim(batch, now(batch).runner, 2)
    ledger.release(now(batch), now(batch).runner, "Stopped.")
    catch_up(now(batch))
    assert states(batch)[0] == State.CALLING
    BatchChunk.objects.update(started_at=timezone.now() - timedelta(days=1))
    catch_up(now(batch))
    assert states(batch)[0] == State.WAITING
