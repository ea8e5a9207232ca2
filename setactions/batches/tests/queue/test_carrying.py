"""Batches that go through the queue: tasks that come twice, late or never do no harm, and no token is left anywhere."""

import signal
from datetime import timedelta

import pytest
from celery.signals import worker_process_init
from django.utils import timezone

from audit.actors import Actor
from audit.choices import Source
from jobs.batches import ledger
from jobs.batches.scopes import Scope
from jobs.models import Batch, BatchChunk, Job
from setactions import seals
from setactions.batches import queued, service
from setactions.batches.recovery import catch_up
from setactions.batches.runs import Run
from setactions.batches.tests.queue.queueing import RedisServer, Workers, use
from setactions.refusal import Refusal
from setactions.token import Token
from tmsdash.celery import QUEUE
from tmsdash.tests.fixtures import TOKEN

pytestmark = [pytest.mark.usefixtures("databases", "engine"), getattr(pytest.mark, "redis-server")]
State = BatchChunk.State
ACTOR = Actor(user_id="olivia", source=Source.BATCH)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    redis = RedisServer(tmp_path_factory.mktemp("redis"), "--save", "", "--appendonly", "no")
    yield redis
    redis.stop()


@pytest.fixture
def engine(settings, monkeypatch, server):
    """Let batches go through the queue, at once; nobody watches them but the test."""
    settings.TMS_BATCH_ENGINE, settings.CELERY_BROKER_URL = "celery", server.url
    monkeypatch.setattr(queued, "APART_S", 0)
    monkeypatch.setattr(queued, "POLL_S", 0)
    monkeypatch.setattr(queued, "PAUSED_POLL_S", 0)
    watched = []
    monkeypatch.setattr(queued._watch, "keep", watched.append)
    use(server.url)
    server.client.flushall()
    yield watched
    use("memory://")


@pytest.fixture
def workers(server):
    return Workers(server)


def start(batch, token=TOKEN):
    queued.start(batch, ACTOR, Token(token), Scope.WAITING)


def now(batch):
    return Batch.objects.get(pk=batch.pk)


def states(batch):
    return [*batch.chunks.order_by("number").values_list("state", flat=True)]


def test_workers_carry_a_batch_chunk_by_chunk(make_batch, workers, tms):
    batch = make_batch(count=10, size=2)
    start(batch)
    assert len(workers.waiting()) == 2  # calls at once
    workers.do_next()
    assert states(batch).count(State.ACCEPTED) == 1
    workers.do_all()
    assert now(batch).state == Batch.State.DONE
    assert not now(batch).runner
    assert states(batch) == [State.ACCEPTED] * 5
    assert len(tms.calls()) == Job.objects.filter(batch_id=batch.batch_id).count() == 5


def test_pages_use_the_engine_of_the_settings(make_batch, workers, olivia):
    batch = make_batch(count=4, size=2)
    service.go_on(user=olivia, actor=ACTOR, batch=batch, token=Token(TOKEN), scope=Scope.WAITING)
    workers.do_all()
    assert now(batch).state == Batch.State.DONE


def test_the_token_is_in_redis_only_sealed(make_batch, workers, caplog):
    start(make_batch())
    held = workers.everything()
    assert "sealed" in held or QUEUE in held
    assert TOKEN not in held
    workers.do_all()
    assert TOKEN not in workers.everything() + caplog.text


def test_a_task_that_comes_twice_sends_nothing_twice(make_batch, workers, tms):
    batch = make_batch(count=6, size=2)
    start(batch)
    task = workers.do_next()
    workers.do(task)
    workers.do_all()
    workers.do(task)
    assert len(tms.calls()) == 3
    assert states(batch) == [State.ACCEPTED] * 3


def test_a_task_of_a_run_that_has_ended_does_nothing(make_batch, workers, tms):
    batch = make_batch(count=6, size=2)
    start(batch)
    ledger.stop(batch, "Stopped by olivia.")
    workers.do_all()
    assert not now(batch).runner
    late = {"batch_id": str(batch.batch_id), "run": "queue:gone", "sealed": "1"}
    workers.do(late)
    assert tms.calls() == []
    assert workers.waiting() == []


@pytest.mark.parametrize("broken", ["old", "other key", "other run"])
def test_a_worker_that_cannot_unseal_says_so_and_sends_nothing(
    make_batch, workers, tms, broken, monkeypatch, settings, caplog
):
    batch = make_batch()
    start(batch)
    task = workers.take()
    if broken == "old":
        monkeypatch.setattr(seals, "SEALED_FOR_S", -1)
        Batch.objects.filter(pk=batch.pk).update(runner_until=timezone.now())  # and nobody extends the lease
    elif broken == "other key":
        settings.TOKEN_KEY = "another key of the same length, thirty-two"
    else:
        follower = queued.new_run_name()
        assert ledger.hand_over(now(batch), task["run"], follower, 60)
        task["run"] = follower
    workers.do(task)
    assert now(batch).state == Batch.State.STOPPED
    assert "could not unseal the token" in now(batch).reason
    assert "Go on with your token." in now(batch).reason
    assert "could not unseal" in caplog.text
    assert tms.calls() == []


def test_tasks_that_were_lost_are_sent_again_by_whoever_has_the_token(make_batch, workers, engine, server, tms):
    batch = make_batch(count=6, size=2)
    start(batch)
    [run] = engine
    old = workers.do_next()
    server.client.flushall()
    assert queued._look_after(run, is_working=False) is run  # somebody has just extended its lease
    Batch.objects.filter(pk=batch.pk).update(runner_until=timezone.now() + timedelta(seconds=1))
    follower = queued._look_after(run, is_working=False)
    assert follower.name == now(batch).runner != run.name
    assert len(workers.waiting()) == 2
    calls = len(tms.calls())
    workers.do(old)  # late
    assert len(tms.calls()) == calls
    workers.do_all()
    assert states(batch) == [State.ACCEPTED] * 3
    assert len(tms.calls()) == 3
    assert queued._look_after(follower, is_working=False) is None


def test_of_two_who_watch_a_run_one_sends_its_tasks_again(make_batch, workers, engine, server):
    start(batch := make_batch())
    [run] = engine
    server.client.flushall()
    Batch.objects.filter(pk=batch.pk).update(runner_until=timezone.now())
    followers = [queued._look_after(run, is_working=False) for _ in range(2)]
    assert followers[1] is None
    assert len(workers.waiting()) == 2


def test_tasks_that_wait_for_a_worker_are_not_lost(make_batch, workers, engine):
    start(batch := make_batch())
    [run] = engine
    Batch.objects.filter(pk=batch.pk).update(runner_until=timezone.now())
    assert queued._look_after(run, is_working=False) is run
    assert now(batch).has_runner
    assert len(workers.waiting()) == 2


def test_a_paused_batch_keeps_its_token_in_the_queue_and_goes_on_without_a_new_one(make_batch, workers, olivia, tms):
    batch = make_batch(count=4, size=2)
    start(batch)
    service.pause_batch(user=olivia, batch=batch)
    workers.do_next()
    assert (now(batch).state, tms.calls()) == (Batch.State.PAUSED, [])
    service.go_on(user=olivia, actor=ACTOR, batch=now(batch), token=None, scope=Scope.WAITING)
    workers.do_all()
    assert states(batch) == [State.ACCEPTED] * 2


def test_a_token_that_tms_does_not_take_leaves_no_task(make_batch, workers, tms):
    batch = make_batch(count=6, size=2)
    tms.script("fault:http:401")
    start(batch)
    workers.do_all()
    assert now(batch).state == Batch.State.PAUSED
    assert not now(batch).runner
    assert "does not accept the token" in now(batch).reason
    assert len(tms.calls()) == 1


@pytest.mark.parametrize("is_begun", [False, True])
def test_a_chunk_whose_worker_died_is_looked_up_once_its_call_is_certainly_over(make_batch, workers, is_begun, tms):
    batch = make_batch(count=2, size=2)
    start(batch)
    run = now(batch).runner
    chunk = ledger.claim(batch, run, 2)
    if is_begun:
        tms.script("fault:reset-after")
        queued._Task(Run.unsealed(batch.batch_id, run, workers.take()["sealed"]), batch, 0, ())._carrier._send(
            chunk, lambda: None
        )
    catch_up(now(batch))
    assert states(batch) == [State.CALLING]
    BatchChunk.objects.update(started_at=timezone.now() - timedelta(days=1))
    workers.do_next()
    assert states(batch) == [State.UNKNOWN if is_begun else State.WAITING]
    workers.do_all()
    assert states(batch) == [State.UNKNOWN if is_begun else State.ACCEPTED]
    assert len(tms.calls()) == 1


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
        assert queued._look_after(run, is_working=False) is run  # the batch waits for the queue
        assert now(batch).has_runner
    finally:
        server.start()
    Batch.objects.filter(pk=batch.pk).update(runner_until=timezone.now())
    assert queued._look_after(run, is_working=False) is not run
    workers.do_all()
    assert states(batch) == [State.ACCEPTED] * 2


def test_another_process_keeps_a_batch_from_the_queue(make_batch, workers):
    batch = make_batch()
    assert ledger.lease(batch, "elsewhere:1", 60)
    with pytest.raises(Refusal, match="still being run"):
        start(batch)
    assert workers.waiting() == []


def test_an_accepted_chunk_ends_a_row_of_failures(make_batch, workers, tms, settings):
    settings.TMS_BATCH_CALLS = 1
    batch = make_batch(count=11, size=1)
    for _ in range(5):
        tms.script("fault:http:500", "")
    start(batch)
    workers.do_all()
    assert now(batch).state == Batch.State.DONE, now(batch).reason


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


def test_a_run_that_is_extended_meanwhile_is_not_handed_over(make_batch, workers, engine, server, monkeypatch):
    start(batch := make_batch())
    [run] = engine
    server.client.flushall()
    Batch.objects.filter(pk=batch.pk).update(runner_until=timezone.now())

    def a_worker_has_just_taken_them():
        ledger.heartbeat(batch, run.name, 60)
        return False

    monkeypatch.setattr(queued, "_has_waiting_tasks", a_worker_has_just_taken_them)
    assert queued._look_after(run, is_working=False) is run
    assert now(batch).runner == run.name
    assert workers.waiting() == []


def test_a_short_lease_ends_no_call_before_its_deadline(make_batch, settings):
    settings.TMS_BATCH_LEASE_S = 1
    batch = make_batch(count=2, size=2)
    start(batch)
    ledger.claim(batch, now(batch).runner, 2)
    BatchChunk.objects.update(started_at=timezone.now() - timedelta(seconds=settings.TMS_DEADLINE_S))
    catch_up(now(batch))
    assert states(batch) == [State.CALLING]


def test_a_task_that_is_too_old_does_not_stop_a_run_that_goes_on(make_batch, workers, tms, monkeypatch):
    batch = make_batch(count=6, size=2)
    start(batch)
    late = workers.take()
    workers.do_next()
    with monkeypatch.context() as patch:
        patch.setattr(seals, "SEALED_FOR_S", -1)
        workers.do(late)
    assert now(batch).state == Batch.State.RUNNING
    workers.do_all()
    assert states(batch) == [State.ACCEPTED] * 3


def test_tasks_that_came_twice_end_while_enough_others_are_calling(make_batch, workers):
    batch = make_batch(count=20, size=2)
    start(batch)
    task = workers.take()
    for _ in range(2):  # as other workers do meanwhile
        ledger.claim(batch, now(batch).runner, 2)
    workers.server.client.delete(QUEUE)
    workers.do(task)
    looks = 1
    while workers.waiting():
        looks += 1
        assert looks < 10
        workers.do_next()
    assert looks > 1
    assert now(batch).runner  # others carry it
