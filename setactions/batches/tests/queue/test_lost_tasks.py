"""Tasks that the queue has lost, and a queue that is away: whoever has the token sees to it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from jobs import leases
from jobs.models import Batch, BatchChunk
from setactions.batches import queued
from setactions.batches.tests.queue.queueing import now, start, states
from setactions.queue import relay
from setactions.refusal import Refusal

pytestmark = [pytest.mark.usefixtures("databases", "engine"), getattr(pytest.mark, "redis-server")]
State = BatchChunk.State


def test_tasks_that_were_lost_are_sent_again_by_whoever_has_the_token(make_batch, workers, engine, server, tms):
    batch = make_batch(count=6, size=2)
    start(batch)
    [run] = engine
    old = workers.do_next()
    server.client.flushall()
    assert queued.relay.look_after(run, is_working=False) is run  # somebody has just extended its lease
    Batch.objects.filter(pk=batch.pk).update(runner_until=timezone.now() + timedelta(seconds=1))
    follower = queued.relay.look_after(run, is_working=False)
    assert follower.name == now(batch).runner != run.name
    assert len(workers.waiting()) == 2
    calls = len(tms.calls())
    workers.do(old)  # late
    assert len(tms.calls()) == calls
    workers.do_all()
    assert states(batch) == [State.ACCEPTED] * 3
    assert len(tms.calls()) == 3
    assert queued.relay.look_after(follower, is_working=False) is None


def test_of_two_who_watch_a_run_one_sends_its_tasks_again(make_batch, workers, engine, server):
    start(batch := make_batch())
    [run] = engine
    server.client.flushall()
    Batch.objects.filter(pk=batch.pk).update(runner_until=timezone.now())
    followers = [queued.relay.look_after(run, is_working=False) for _ in range(2)]
    assert followers[0] == followers[1] != run  # so that no token is forgotten that the batch may need
    assert len(workers.waiting()) == 2
    start_again = Batch.objects.filter(pk=batch.pk)
    start_again.update(runner=queued.new_run_name(timezone.now() + timedelta(seconds=1)))
    assert queued.relay.look_after(run, is_working=False) is None  # with another token


def test_tasks_that_wait_for_a_worker_are_not_lost(make_batch, workers, engine):
    start(batch := make_batch())
    [run] = engine
    Batch.objects.filter(pk=batch.pk).update(runner_until=timezone.now())
    assert queued.relay.look_after(run, is_working=False) is run
    assert now(batch).has_runner
    assert len(workers.waiting()) == 2


def test_tasks_of_other_runs_that_wait_do_not_hide_that_those_of_one_are_lost(make_batch, workers, engine, server):
    start(batch := make_batch())
    [run] = engine
    server.client.flushall()
    start(other := make_batch())
    Batch.objects.filter(pk=batch.pk).update(runner_until=timezone.now())
    follower = queued.relay.look_after(run, is_working=False)
    names = [task["run"] for task in workers.waiting()]
    assert names == [now(other).runner] * 2 + [follower.name] * 2
    assert follower.name != run.name


def test_without_a_queue_nothing_is_sent_and_the_batch_says_why(make_batch, tms, server):
    batch = make_batch()
    server.stop()
    try:
        with pytest.raises(Refusal, match="queue of the batches cannot be reached, so nothing was sent") as refusal:
            start(batch)
    finally:
        server.start()
    assert refusal.value.code == 503
    assert now(batch).state == Batch.State.STOPPED
    assert "cannot be reached" in now(batch).reason
    assert tms.calls() == []


def test_a_queue_that_goes_away_in_the_middle_keeps_no_answer_from_being_recorded(make_batch, workers, server, engine):
    batch = make_batch(count=4, size=2)
    start(batch)
    [run, *_] = engine
    task = workers.take()
    server.stop()
    try:
        workers.do(task)
        assert states(batch) == [State.ACCEPTED, State.WAITING]
        Batch.objects.filter(pk=batch.pk).update(runner_until=timezone.now())
        assert queued.relay.look_after(run, is_working=False) is run  # the batch waits for the queue
        assert now(batch).has_runner
    finally:
        server.start()
    Batch.objects.filter(pk=batch.pk).update(runner_until=timezone.now())
    assert queued.relay.look_after(run, is_working=False) is not run
    workers.do_all()
    assert states(batch) == [State.ACCEPTED] * 2


def test_a_run_that_is_extended_meanwhile_is_not_handed_over(make_batch, workers, engine, server, monkeypatch):
    start(batch := make_batch())
    [run] = engine
    server.client.flushall()
    Batch.objects.filter(pk=batch.pk).update(runner_until=timezone.now())

    def a_worker_has_just_taken_them(name):
        leases.heartbeat(batch, run.name, 60)
        return False

    monkeypatch.setattr(relay, "has_waiting_tasks", a_worker_has_just_taken_them)
    assert queued.relay.look_after(run, is_working=False) is run
    assert now(batch).runner == run.name
    assert workers.waiting() == []


def test_a_queue_that_takes_long_to_answer_costs_no_lease(make_batch, engine, server, monkeypatch):
    start(batch := make_batch())
    server.client.flushall()
    almost_over = timezone.now() + timedelta(seconds=5)
    Batch.objects.filter(pk=batch.pk).update(runner_until=almost_over)
    left = []

    def answer_late(name):
        left.append(now(batch).runner_until)
        return False

    monkeypatch.setattr(relay, "has_waiting_tasks", answer_late)
    assert queued.relay.look_after(engine[0], is_working=False) is not engine[0]
    assert left[0] > almost_over + timedelta(seconds=20)
