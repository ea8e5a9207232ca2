"""The ledger of batches: who carries one, which chunk may go now, and what becomes of it."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from jobs import leases
from jobs.batches import ledger
from jobs.batches.decision import ChunkDecision
from jobs.batches.ledger import Idle
from jobs.batches.scopes import Scope
from jobs.models import Batch, BatchChunk, ClusterBackoff
from jobs.tests.making import CLUSTER, make_batch
from tmsdash.tests.tools import at_once

State = BatchChunk.State
pytestmark = pytest.mark.usefixtures("databases")
CIDS = [f"c{number}" for number in range(8)]
OTHER = "https://brooke.example"


@pytest.fixture
def batch():
    """Four chunks of two customers, carried by "me"."""
    return carried(make_batch(cids=CIDS))


def carried(batch, runner="me", lease_s=60):
    assert ledger.lease(batch, runner, lease_s)
    return batch


def claim(batch, runner="me", calls_at_once=9, **options):
    return ledger.claim(batch, runner, calls_at_once, **options)


def claimed(batch, **options):
    chunk = claim(batch, **options)
    assert isinstance(chunk, BatchChunk)
    return chunk


def now(batch):
    return Batch.objects.get(pk=batch.pk)


def stored(chunk):
    return BatchChunk.objects.get(pk=chunk.pk)


# -- Runners ----------------------------------------------------------------------------------------------------------


def test_only_one_runner_carries_it(batch):
    assert not ledger.lease(batch, "other", 60)
    assert ledger.lease(batch, "other", 60, dead_runner="me")
    assert now(batch).runner == "other"


def test_of_many_that_want_it_one_gets_it():
    batch = make_batch(cids=CIDS)
    assert sum(at_once(6, lambda number: ledger.lease(batch, f"runner {number}", 60))) == 1


def test_a_lease_that_is_over_lets_another_one_in(batch):
    assert leases.heartbeat(batch, "me", -1)
    assert not now(batch).has_runner
    assert now(batch).shown_state == Batch.State.STOPPED
    assert ledger.lease(batch, "other", 60)
    assert not leases.heartbeat(batch, "me", 60)


def test_what_it_leaves_is_stopped_for_the_reason_that_was_first(batch):
    ledger.release(batch, "other", "not its own")
    assert now(batch).runner == "me"
    ledger.release(batch, "me", "the end")
    assert (now(batch).state, now(batch).reason, now(batch).runner) == (Batch.State.STOPPED, "the end", "")
    carried(batch)
    ledger.stop(batch, "Stopped by olivia.")
    ledger.release(batch, "me", "the end")
    assert now(batch).reason == "Stopped by olivia."


@pytest.mark.parametrize(("left_s", "lease_s", "is_extended"), [(50, 60, True), (59, 60, False), (-5, 0, False)])
def test_a_claim_extends_a_lease_that_is_given_unless_nearly_all_is_left(left_s, lease_s, is_extended, batch):
    until = timezone.now() + timedelta(seconds=left_s)
    Batch.objects.filter(pk=batch.pk).update(runner_until=until)
    claimed(batch, lease_s=lease_s)
    assert (now(batch).runner_until > until + timedelta(seconds=5)) is is_extended
    assert is_extended or now(batch).runner_until == until


# -- Claims -----------------------------------------------------------------------------------------------------------


def test_chunks_are_claimed_in_order_each_once(batch):
    assert [claimed(batch).number for _ in range(4)] == [0, 1, 2, 3]
    assert claim(batch) is Idle.FOR_NOW


def test_many_claims_at_once_get_different_chunks(batch):
    chunks = at_once(4, lambda _: claimed(batch))
    assert sorted(chunk.number for chunk in chunks) == [0, 1, 2, 3]


def test_no_cluster_gets_more_calls_of_all_batches_than_allowed(batch):
    other = carried(make_batch(cids=["x", "y", "z"], size=1))
    assert claimed(batch, calls_at_once=2).number == 0
    assert claimed(other, calls_at_once=2).number == 0
    assert claim(batch, calls_at_once=2) is Idle.FOR_NOW
    assert claim(other, calls_at_once=2) is Idle.FOR_NOW


def test_calls_that_the_runner_knows_to_be_over_do_not_count(batch):
    first = claimed(batch, calls_at_once=1)
    assert claim(batch, calls_at_once=1) is Idle.FOR_NOW
    assert claimed(batch, calls_at_once=1, answered=[first.pk]).number == 1


def test_another_cluster_has_places_of_its_own():
    batch = carried(make_batch(cids=["a", "b"], size=1, clusters=(CLUSTER, OTHER)))
    asked = [claimed(batch, calls_at_once=1).cluster_url for _ in range(2)]
    assert asked == [CLUSTER, OTHER]
    assert claim(batch, calls_at_once=1) is Idle.FOR_NOW


def test_calls_of_the_dead_take_no_places(batch):
    claimed(batch, calls_at_once=1)
    leases.heartbeat(batch, "me", -1)
    other = carried(make_batch(cids=["x"]))
    assert claimed(other, calls_at_once=1).number == 0


@pytest.mark.parametrize(
    ("change", "idle"),
    [
        (lambda batch: ledger.pause(batch, "why"), Idle.FOR_NOW),
        (lambda batch: ledger.stop(batch, "why"), Idle.FOR_GOOD),
        (lambda batch: ledger.lease(batch, "other", 60, dead_runner="me"), Idle.FOR_GOOD),
        (lambda batch: Batch.objects.update(state=Batch.State.DONE), Idle.FOR_GOOD),
    ],
)
def test_nothing_is_claimed_of_what_does_not_run_here(change, idle, batch):
    change(batch)
    assert claim(batch) is idle
    assert not BatchChunk.objects.exclude(state=State.WAITING).exists()


def test_a_pause_with_an_end_ends_by_itself(batch):
    ledger.pause(batch, "why")
    Batch.objects.update(resume_at=timezone.now() + timedelta(hours=1))
    assert claim(batch) is Idle.FOR_NOW
    Batch.objects.update(resume_at=timezone.now())
    assert claimed(batch).number == 0
    assert (now(batch).state, now(batch).reason, now(batch).resume_at) == (Batch.State.RUNNING, "", None)


def test_a_chunk_that_is_put_off_waits_its_time(batch):
    BatchChunk.objects.filter(number=0).update(not_before=timezone.now() + timedelta(hours=1))
    assert claimed(batch).number == 1
    BatchChunk.objects.filter(number=0).update(not_before=timezone.now())
    assert claimed(batch).number == 0


def test_first_only_claims_the_first_and_no_other():
    batch = carried(make_batch(cids=CIDS, size=1, first_only=True))
    assert claimed(batch).number == 0
    assert claim(batch) is Idle.FOR_NOW


def test_the_last_chunk_that_is_settled_makes_it_done():
    batch = carried(make_batch(cids=["a"]))
    settle(claimed(batch), State.UNKNOWN)
    assert claim(batch) is Idle.FOR_GOOD
    assert now(batch).state == Batch.State.DONE
    assert now(batch).ended_at is not None


# -- What becomes of chunks -------------------------------------------------------------------------------------------


def settle(chunk, state, **further):
    return ledger.settle(chunk, ChunkDecision(state=state, **further))


def test_what_is_known_of_a_chunk_is_not_overwritten(batch):
    chunk = claimed(batch)
    assert settle(chunk, State.UNKNOWN, message="nobody knows")
    assert settle(chunk, State.ACCEPTED, message="found out")
    assert not settle(chunk, State.REJECTED)
    assert (stored(chunk).state, stored(chunk).message, stored(chunk).runner) == (State.ACCEPTED, "found out", "")


def test_a_word_about_an_earlier_try_changes_nothing(batch):
    stale = claimed(batch)
    settle(stale, State.WAITING, retry=True)
    fresh = claimed(batch)
    assert (fresh.pk, fresh.tries) == (stale.pk, 2)
    assert fresh.derived_attempt_id != stale.derived_attempt_id
    assert not settle(stale, State.ACCEPTED)
    assert not ledger.unclaim(stale)
    assert stored(fresh).state == State.CALLING


def test_ids_that_are_set_aside_leave_the_list(batch):
    chunk = claimed(batch)
    settle(chunk, State.SET_ASIDE, set_aside=frozenset({"c0"}))
    smaller = stored(chunk)
    assert (smaller.cids, smaller.customer_count, smaller.set_aside, smaller.set_aside_count) == (["c1"], 1, ["c0"], 1)
    ledger.retry(batch, Scope.REST_WITHOUT_UNKNOWN_IDS)
    settle(claimed(batch), State.SET_ASIDE, set_aside=frozenset({"c1"}))
    assert stored(chunk).set_aside == ["c0", "c1"]
    assert ledger.retry(batch, Scope.REST_WITHOUT_UNKNOWN_IDS) == 0  # nothing is left of it


def test_a_cluster_that_asks_for_fewer_calls_is_left_alone_by_all(batch):
    settle(claimed(batch), State.WAITING, retry=True, backoff_s=3600)
    other = carried(make_batch(cids=["x", "y"], size=1))
    assert claim(other) is Idle.FOR_NOW
    ClusterBackoff.objects.update(not_before=timezone.now())
    first = claimed(other)
    assert claim(other) is Idle.FOR_NOW  # one at a time, until it takes one
    settle(first, State.ACCEPTED)
    assert ClusterBackoff.objects.get().failures == 0
    claimed(other)
    claimed(batch)


def test_a_cluster_is_left_alone_for_the_longest_that_it_asked_for(batch):
    first, second = claimed(batch), claimed(batch)
    settle(first, State.WAITING, retry=True, backoff_s=3600)
    settle(second, State.WAITING, retry=True, backoff_s=1)
    backoff = ClusterBackoff.objects.get()
    assert (backoff.failures, backoff.not_before > timezone.now() + timedelta(minutes=50)) == (2, True)


def test_what_follows_for_the_batch_is_written_with_the_chunk(batch):
    settle(claimed(batch), State.WAITING, retry=True, batch_state=Batch.State.PAUSED, reason="not ready", resume_s=60)
    paused = now(batch)
    assert (paused.state, paused.reason, paused.resume_at > timezone.now()) == (Batch.State.PAUSED, "not ready", True)


def test_a_users_word_stands_against_what_comes_later(batch):
    chunk = claimed(batch)
    ledger.stop(batch, "Stopped by olivia.")
    settle(chunk, State.WAITING, retry=True, batch_state=Batch.State.PAUSED, reason="token")
    assert (now(batch).state, now(batch).reason) == (Batch.State.STOPPED, "Stopped by olivia.")


def test_a_first_one_that_is_not_accepted_stops_it():
    batch = carried(make_batch(cids=CIDS, size=1, first_only=True))
    settle(claimed(batch), State.REJECTED, message="no such customer")
    assert (now(batch).state, now(batch).first_only) == (Batch.State.STOPPED, True)
    assert "no such customer" in now(batch).reason


def test_what_was_not_sent_is_unclaimed_and_keeps_its_try(batch):
    chunk = claimed(batch)
    assert ledger.unclaim(chunk)
    assert (stored(chunk).state, stored(chunk).tries, stored(chunk).runner) == (State.WAITING, 1, "")
    reclaimed = claimed(batch)
    assert reclaimed.pk == chunk.pk
    ledger.lease(batch, "other", 60, dead_runner="me")
    BatchChunk.objects.filter(pk=chunk.pk).update(runner="other")
    assert not ledger.unclaim(reclaimed)  # it is another's by now


# -- What users do ----------------------------------------------------------------------------------------------------


def test_only_what_runs_is_paused_and_only_what_waits_with_a_runner_resumed(batch):
    assert not ledger.resume(now(batch))
    assert ledger.pause(batch, "why")
    assert not ledger.pause(batch, "again")
    assert ledger.resume(now(batch))
    assert ledger.pause(batch, "why")
    ledger.release(batch, "me")
    assert not ledger.resume(now(batch))
    assert ledger.stop(batch, "why")
    assert not ledger.stop(batch, "again")


def test_only_what_is_certainly_not_applied_is_run_again(batch):
    states = [State.NOT_SENT, State.NOT_APPLIED, State.UNKNOWN, State.REJECTED]
    for state in states:
        settle(claimed(batch), state)
    assert ledger.retry(batch, Scope.REST_WITHOUT_UNKNOWN_IDS) == 2
    chunks = BatchChunk.objects.order_by("number").values_list("state", "tries")
    assert list(chunks) == [(State.WAITING, 2), (State.WAITING, 2), (State.UNKNOWN, 1), (State.REJECTED, 1)]


def test_a_runner_that_was_taken_for_dead_and_sent_its_chunk_after_all_is_heard(batch):
    chunk = claimed(batch)
    assert ledger.unclaim(chunk)
    assert not ledger.settle(chunk, ChunkDecision(state=State.ACCEPTED, attempt_id=uuid.uuid4()))  # of another attempt
    assert ledger.settle(chunk, ChunkDecision(state=State.ACCEPTED, attempt_id=chunk.derived_attempt_id))
    assert stored(chunk).state == State.ACCEPTED
    assert claimed(batch).number == 1
