"""Batches that go through the queue: tasks that come twice, late or for nothing do no harm."""

import pytest

from jobs.batches import ledger
from jobs.batches.scopes import Scope
from jobs.models import Batch, BatchChunk, Job
from setactions.batches import queued, service
from setactions.batches.carrier import Carrier
from setactions.batches.tests.queue.queueing import ACTOR, now, start, states
from setactions.refusal import Refusal
from setactions.token import Token
from tmsdash.broker import QUEUE
from tmsdash.tests.fixtures import TOKEN
from tmsdash.tests.tools import KEYS, run_python

pytestmark = [pytest.mark.usefixtures("databases", "engine"), getattr(pytest.mark, "redis-server")]
State = BatchChunk.State


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


@pytest.mark.parametrize(("engine_name", "is_loaded"), [("celery", True), ("local", False)])
def test_a_server_loads_the_queue_before_its_first_batch_if_there_is_one(engine_name, is_loaded, tmp_path):
    code = (
        "import sys, django; from tmsdash import startup; startup.begin_worker(); django.setup(); "
        "print('celery' in sys.modules, 'setactions.batches.queued' in sys.modules)"
    )
    options = {"TMS_BATCH_ENGINE": engine_name, "CELERY_BROKER_URL": "redis://127.0.0.1:9/0"}
    options |= KEYS | {"DJANGO_SETTINGS_MODULE": "tmsdash.settings", "PYTHONWARNINGS": "ignore"}
    ended = run_python("-c", code, var_dir=tmp_path, **options)
    assert ended.stdout.split() == [str(is_loaded)] * 2, ended.stderr


def test_a_turn_sends_chunk_after_chunk(make_batch, workers, tms, monkeypatch):
    monkeypatch.setattr(queued, "TURN_S", 3600)
    batch = make_batch(count=20, size=2)
    start(batch)
    workers.do_next()
    assert states(batch) == [State.ACCEPTED] * 10
    assert now(batch).state == Batch.State.DONE
    workers.do_all()
    assert len(tms.calls()) == 10


def test_while_a_turn_records_an_answer_it_makes_the_next_call(make_batch, workers, tms, monkeypatch):
    monkeypatch.setattr(queued, "TURN_S", 3600)
    settle = ledger.settle

    def settle_late(chunk, decision):
        if chunk.number == 0:
            tms.wait_for(lambda calls: len(calls) == 2)
        return settle(chunk, decision)

    monkeypatch.setattr(ledger, "settle", settle_late)
    start(batch := make_batch(count=4, size=2))
    workers.do_next()
    assert states(batch) == [State.ACCEPTED] * 2


@pytest.mark.parametrize(("owner", "name"), [(Carrier, "carry_out"), (queued, "catch_up")])
def test_a_turn_that_fails_stops_the_batch_and_says_why(owner, name, make_batch, workers, monkeypatch):
    start(batch := make_batch(count=4, size=2))
    if owner is queued:
        for _ in range(2):  # so that nothing is left to do for now
            ledger.claim(batch, now(batch).runner, 2)
    monkeypatch.setattr(owner, name, lambda *_: 1 / 0)
    workers.do_next()
    assert now(batch).state == Batch.State.STOPPED
    assert "The dashboard itself failed; its log says why." in now(batch).reason
