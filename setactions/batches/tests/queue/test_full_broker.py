"""A Redis that answers each write with an error, because it is full or may only read, counts as one that is away."""

import pytest

from jobs.models import Batch, BatchChunk
from setactions.batches import queued
from setactions.batches.tests.queue.queueing import now, start, states
from setactions.refusal import Refusal
from tmsdash.celery import app
from tmsdash.db import clock

pytestmark = [pytest.mark.usefixtures("databases", "engine"), getattr(pytest.mark, "redis-server")]
State = BatchChunk.State


@pytest.fixture
def full(server):
    """Let Redis take nothing, until the function is called."""
    server.client.config_set("maxmemory", "1mb")
    yield lambda: server.client.config_set("maxmemory", "0")
    server.client.config_set("maxmemory", "0")


def test_a_batch_does_not_start_and_says_why(make_batch, full, tms):
    batch = make_batch()
    with pytest.raises(Refusal, match="queue of the batches cannot be reached, so nothing was sent"):
        start(batch)
    assert now(batch).state == Batch.State.STOPPED
    assert tms.calls() == []
    full()
    start(now(batch))


def test_what_was_answered_is_recorded_and_the_batch_waits(make_batch, workers, engine, request):
    start(batch := make_batch(count=4, size=2))
    task = workers.take()
    end = request.getfixturevalue("full")
    workers.do(task)
    assert states(batch) == [State.ACCEPTED, State.WAITING]
    Batch.objects.filter(pk=batch.pk).update(runner_until=clock.now("jobs"))
    workers.take()  # so that none is left
    follower = queued.relay.look_after(engine[0], is_working=False)
    assert now(batch).has_runner
    assert workers.waiting() == []  # new ones are not taken either
    end()
    Batch.objects.filter(pk=batch.pk).update(runner_until=clock.now("jobs"))
    assert queued.relay.look_after(follower, is_working=False).name == now(batch).runner
    workers.do_all()
    assert states(batch) == [State.ACCEPTED] * 2


@pytest.mark.usefixtures("full")
def test_a_worker_waits_instead_of_ending():
    """Its main process waits for as long as it takes when an error of connecting or acknowledging is one of these."""
    connection = app.connection_for_read()
    with connection, pytest.raises(connection.connection_errors, match="Redis takes nothing: command not allowed"):
        connection.transport.establish_connection()
