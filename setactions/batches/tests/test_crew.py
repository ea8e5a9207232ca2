"""How a crew of threads that has only a turn ends it, and what becomes of a batch for which there is no thread."""

import threading
from itertools import count

import pytest

from audit.actors import Actor
from audit.choices import Source
from jobs.batches import ledger
from jobs.batches.ledger import Idle
from jobs.batches.scopes import Scope
from jobs.models import Batch
from setactions.batches import background, crew
from setactions.handover import NO_THREAD
from setactions.liveness import FAILED
from setactions.refusal import Refusal
from setactions.token import Token
from tmsdash.server.shared import Cell, mine
from tmsdash.tests.fixtures import TOKEN

pytestmark = pytest.mark.usefixtures("databases")
ACTOR = Actor(user_id="olivia", source=Source.BATCH)
LOOKS = 3


def allow_threads(monkeypatch, name, at_most):
    """Let the system allow only so many threads of this name."""
    start, started = threading.Thread.start, count(1)

    def start_or_refuse(thread):
        if thread.name == name and next(started) > at_most:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_or_refuse)


@pytest.mark.sqlite
def test_a_turn_ends_also_if_recording_took_longer_than_it_looks_for_more(make_batch, monkeypatch):
    monkeypatch.setattr(crew, "SOON", LOOKS)
    monkeypatch.setattr(crew, "SOON_S", 0.001)
    batch, looks, is_late = make_batch(), count(), threading.Event()
    chunk = batch.chunks.first()

    def claim(*arguments, **options):
        number = next(looks)
        if number > 2 * LOOKS:
            is_late.set()
        if number > 20 * LOOKS:
            raise AssertionError("it looks on and on")
        return Idle.FOR_NOW if number else chunk

    class SlowCarrier:
        token_refused = False

        def carry_out(self, chunk, on_accepted):
            on_accepted()
            assert is_late.wait(30)

    monkeypatch.setattr(ledger, "claim", claim)
    working = crew.Crew(batch, "me", SlowCarrier(), 1, turn_s=3600)
    working.run()
    assert (working.idle, working.reason) == (Idle.FOR_NOW, "")


def test_a_batch_for_which_there_is_no_thread_says_so_and_takes_no_room(make_batch, monkeypatch, engine_at_rest):
    before, batch = mine[Cell.BATCHES], make_batch(count=2)
    allow_threads(monkeypatch, "batch", 0)
    with pytest.raises(Refusal, match="no more threads") as refusal:
        background.start(batch, ACTOR, Token(TOKEN), Scope.WAITING)
    assert (refusal.value.code, mine[Cell.BATCHES]) == (503, before)
    stopped = Batch.objects.get()
    assert (stopped.state, stopped.reason, stopped.runner) == (Batch.State.STOPPED, NO_THREAD, "")
    monkeypatch.undo()
    background.start(batch, ACTOR, Token(TOKEN), Scope.WAITING)
    engine_at_rest()
    assert Batch.objects.get().state == Batch.State.DONE


@pytest.mark.sqlite
def test_as_many_threads_as_the_system_allows_carry_a_batch(make_batch, run, monkeypatch):
    allow_threads(monkeypatch, "batch-worker", 1)
    assert run(make_batch(count=4)).state == Batch.State.DONE


@pytest.mark.sqlite
@pytest.mark.parametrize("name", ["batch-worker", "batch-heart"])
def test_a_runner_that_gets_no_threads_sends_nothing_and_says_so(name, make_batch, run, tms, monkeypatch):
    allow_threads(monkeypatch, name, 0)
    batch = run(make_batch(count=4))
    assert (batch.state, batch.reason, batch.runner) == (Batch.State.STOPPED, FAILED, "")
    assert tms.calls() == []
