"""Five chunks that fail one after the other stop a batch, whichever tasks, workers and runs send them."""

from datetime import timedelta

import pytest
from django.db.models import F

from audit.choices import Outcome
from jobs.batches import ledger
from jobs.batches.decision import ChunkDecision, delay_after
from jobs.batches.selectors import failures_in_a_row
from jobs.models import Batch, BatchChunk
from setactions.batches import queued
from setactions.batches.policy import FAILURES_THAT_STOP
from setactions.batches.tests.queue.queueing import now, start, states
from tmsdash.db import clock

pytestmark = [pytest.mark.usefixtures("databases", "engine"), getattr(pytest.mark, "redis-server")]
State = BatchChunk.State


def test_failures_of_all_tasks_of_a_run_count_together(make_batch, workers, tms):
    batch = make_batch(count=40, size=2)
    tms.script(*["fault:http:400"] * 20)
    start(batch)
    assert len(workers.waiting()) == 2
    workers.do_all()
    assert now(batch).state == Batch.State.STOPPED
    assert f"{FAILURES_THAT_STOP} chunks failed one after the other" in now(batch).reason
    assert len(tms.calls()) == FAILURES_THAT_STOP


def test_a_run_whose_tasks_were_lost_goes_on_counting(make_batch, workers, engine, server, tms):
    batch = make_batch(count=40, size=2)
    tms.script(*["fault:http:400"] * 20)
    start(batch)
    for _ in range(3):
        workers.do_next()
    server.client.flushall()
    Batch.objects.filter(pk=batch.pk).update(runner_until=clock.now("jobs"))
    assert queued.relay.look_after(engine[0], is_working=False) is not engine[0]
    workers.do_all()
    assert len(tms.calls()) == FAILURES_THAT_STOP


def test_a_new_run_counts_from_the_beginning(make_batch, workers, tms):
    batch = make_batch(count=40, size=2)
    tms.script(*["fault:http:400"] * 20)
    start(batch)
    workers.do_all()
    start(now(batch))
    workers.do_all()
    assert len(tms.calls()) == 2 * FAILURES_THAT_STOP


def test_those_that_tms_wants_later_neither_count_nor_end_the_row(make_batch, workers, tms):
    batch = make_batch(count=40, size=2)
    tms.script(*["fault:http:400", "fault:http:429:0"] * 20)
    start(batch)
    workers.do_all()
    assert states(batch).count(State.REJECTED) == FAILURES_THAT_STOP


def test_one_that_was_skipped_neither_counts_nor_ends_the_row(make_batch):
    batch, begun_at = leased(make_batch(count=8, size=2))
    for decision in (
        ChunkDecision(state=State.REJECTED),
        ChunkDecision(state=State.REFUSED, is_skipped=True),
        ChunkDecision(state=State.UNKNOWN),
    ):
        settle_next(batch, lambda _, decision=decision: decision, begun_at)
    assert failures_in_a_row(batch, begun_at) == 2


def test_a_chunk_that_is_refused_for_now_again_and_again_counts_each_time(make_batch):
    batch, begun_at = leased(make_batch(count=2, size=2))
    counted = []

    def refuse(failures):
        counted.append(failures)
        return ChunkDecision(state=State.WAITING, delay_s=delay_after(failures))

    for _ in range(4):
        settle_next(batch, refuse, begun_at)
        passed = timedelta(hours=1)  # by which its delay is over
        begun_at -= passed
        batch.chunks.update(ended_at=F("ended_at") - passed, not_before=F("not_before") - passed)
    chunk = ledger.claim(batch, "me", 2)
    assert isinstance(chunk, BatchChunk)
    ledger.unclaim(chunk)  # its runner died
    settle_next(batch, refuse, begun_at)
    assert counted == [0, 1, 2, 3, 4]


def test_an_accepted_one_ends_the_row_of_one_that_was_refused_for_now(make_batch):
    batch, begun_at = leased(make_batch(count=8, size=2))
    settle_next(batch, lambda failures: ChunkDecision(state=State.WAITING, delay_s=delay_after(failures)), begun_at)
    settle_next(batch, lambda _: ChunkDecision(state=State(Outcome.ACCEPTED.value)), begun_at)
    settle_next(batch, lambda _: ChunkDecision(state=State.NOT_SENT), begun_at)
    assert failures_in_a_row(batch, begun_at) == 1


def leased(batch):
    begun_at = clock.now("jobs")
    assert ledger.lease(batch, "me", 3600)
    return batch, begun_at


def settle_next(batch, decide, begun_at):
    chunk = ledger.claim(batch, "me", 2)
    assert isinstance(chunk, BatchChunk)
    return ledger.settle_in_row(chunk, decide, begun_at)
