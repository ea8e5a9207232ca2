"""The token of a batch in the queue: sealed, for a while, and of no use without the key."""

import time
from types import SimpleNamespace

import pytest
from django.utils import timezone

from jobs import leases
from jobs.models import Batch, BatchChunk
from setactions.batches import queued
from setactions.batches.tests.queue.queueing import now, start, states
from tmsdash import seals
from tmsdash.broker import QUEUE
from tmsdash.tests.fixtures import TOKEN

pytestmark = [pytest.mark.usefixtures("databases", "engine"), getattr(pytest.mark, "redis-server")]
State = BatchChunk.State


def test_the_token_is_in_redis_only_sealed(make_batch, workers, caplog):
    start(make_batch())
    held = workers.everything()
    assert "sealed" in held or QUEUE in held
    assert TOKEN not in held
    workers.do_all()
    assert TOKEN not in workers.everything() + caplog.text


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
        follower = queued.new_run_name(timezone.now())
        assert leases.hand_over(now(batch), task["run"], follower, 60)
        task["run"] = follower
    workers.do(task)
    assert now(batch).state == Batch.State.STOPPED
    assert "could not unseal the token" in now(batch).reason
    assert "Go on with your token." in now(batch).reason
    assert "could not unseal" in caplog.text
    assert tms.calls() == []


def test_a_worker_whose_clock_is_far_behind_says_so_and_leaves_the_run_to_others(
    make_batch, workers, tms, monkeypatch, caplog
):
    start(batch := make_batch())
    monkeypatch.setattr(seals, "time", SimpleNamespace(time=lambda: time.time() - 120))
    workers.do(workers.take())
    assert "this host's clock is wrong" in caplog.text
    assert (now(batch).state, tms.calls()) == (Batch.State.RUNNING, [])


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
