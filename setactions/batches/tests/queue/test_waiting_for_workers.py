"""A batch that no worker carries says so within seconds, and since when."""

from datetime import timedelta

import pytest
from django.urls import reverse

from jobs.batches import ledger
from jobs.models import Batch
from setactions.batches import queued
from setactions.batches.foreground import Foreground
from setactions.batches.liveness import waits_for_worker_since
from setactions.batches.runner import Runner
from setactions.batches.tests.queue.queueing import ACTOR, now, start
from setactions.queue.liveness import begun_at_of
from setactions.refusal import Refusal
from setactions.token import Token
from tmsdash.db import clock
from tmsdash.tests.fixtures import TOKEN

pytestmark = [pytest.mark.usefixtures("databases", "engine"), getattr(pytest.mark, "redis-server")]


def let_pass(batch, seconds):
    """Let nobody have extended the lease for so long."""
    until = now(batch).runner_until - timedelta(seconds=seconds)
    Batch.objects.filter(pk=batch.pk).update(runner_until=until)


def test_it_waits_from_its_beginning_on(make_batch):
    start(batch := make_batch())
    assert waits_for_worker_since(now(batch)) is None  # one may come at once
    let_pass(batch, 7)
    assert waits_for_worker_since(now(batch)) == begun_at_of(now(batch).runner)
    assert abs(begun_at_of(now(batch).runner) - clock.now("jobs")) < timedelta(minutes=1)


def test_the_first_task_that_a_worker_takes_ends_the_wait(make_batch, workers):
    start(batch := make_batch())
    let_pass(batch, 7)
    workers.do_next()
    assert waits_for_worker_since(now(batch)) is None


def test_a_task_that_finds_nothing_to_do_ends_the_wait_too(make_batch, workers):
    start(batch := make_batch(count=4, size=2))
    for _ in range(2):  # which other workers are sending
        ledger.claim(batch, now(batch).runner, 2)
    let_pass(batch, 7)
    workers.do_next()
    assert waits_for_worker_since(now(batch)) is None


def test_whoever_watches_it_keeps_the_lease_and_hides_nothing(make_batch, engine):
    start(batch := make_batch())
    let_pass(batch, 40)
    assert queued.relay.look_after(engine[0], is_working=False) is engine[0]
    assert now(batch).has_runner
    assert waits_for_worker_since(now(batch)) == begun_at_of(now(batch).runner)


def test_tasks_that_are_sent_again_are_no_worker(make_batch, engine, server):
    start(batch := make_batch())
    let_pass(batch, 40)
    server.client.flushall()
    assert queued.relay.look_after(engine[0], is_working=False) is not engine[0]
    assert waits_for_worker_since(now(batch)) == engine[0].begun_at


def test_it_waits_since_the_last_sign_of_a_worker(make_batch, workers):
    start(batch := make_batch(count=10, size=2))
    workers.do_next()
    let_pass(batch, 7)
    assert waits_for_worker_since(now(batch)) == batch.chunks.get(number=0).ended_at


def test_neither_one_that_is_paused_nor_one_of_a_process_waits_for_a_worker(make_batch, settings):
    start(batch := make_batch())
    let_pass(batch, 7)
    ledger.pause(batch, "Paused by olivia.")
    assert waits_for_worker_since(now(batch)) is None
    other = make_batch()
    assert ledger.lease(other, "host:1:2", 10)
    assert waits_for_worker_since(now(other)) is None


def test_the_page_says_so_with_what_to_do(make_batch, operator, workers):
    start(batch := make_batch(count=10, size=2))
    assert "waits for a worker" not in operator.get(reverse("batch", args=[batch.batch_id])).content.decode()
    let_pass(batch, 7)
    for route in ("batch", "batch_progress"):
        page = operator.get(reverse(route, args=[batch.batch_id])).content.decode()
        assert "Waits for a worker" in page
        assert "celery -A tmsdash worker" in page
    assert "Waits for a worker" in operator.get(reverse("batch_list")).content.decode()
    workers.do_next()
    assert "Waits for a worker" not in operator.get(reverse("batch", args=[batch.batch_id])).content.decode()


def test_the_command_says_so_at_once_instead_of_waiting_for_the_lease(make_batch):
    start(batch := make_batch(count=10, size=2))
    let_pass(batch, 7)
    runner = Runner(now(batch), ACTOR, Token(TOKEN), workers=1)
    with pytest.raises(Refusal, match="no worker has come to it since .* UTC. Start a worker with celery") as refusal:
        Foreground(None, print)._await_lease(runner)
    assert refusal.value.code == 409
