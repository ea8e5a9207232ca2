"""The only truth about batches: who carries each of them, and what became of each chunk.

Runners may die at any moment, and lose their batch without noticing. So these rules hold here, whatever they believe:

1. A batch is carried by the runner that holds its lease. Another one gets the lease when it has run out, or when
   the runner is known to be dead.
2. A chunk is claimed, in a transaction of its own, before anything is sent. Whoever dies after that leaves a chunk
   that is *being sent*, which is looked up in the audit. It never leaves one that seems to wait and goes out twice.
3. A decision holds for one try of a chunk that is being sent or unknown, or was unclaimed since. One that comes late,
   for a try that was decided, changes nothing.
4. A new try, which has a new attempt id and so a new call, is made of nothing that may have been applied: not of
   what is unknown, being sent or accepted. What is only unclaimed keeps its try and its attempt id, so that a runner
   that was not dead after all makes the same attempt, and the audit lets one of the two make the call. What was
   refused keeps its try, too: it never became an attempt.
5. What operators decide outlives what runners report: only a running batch is paused or stopped by its chunks.
6. What `creation` wrote is changed in one case: ids that TMS does not know leave their chunk, which is signed anew.

Every change is one short transaction that first makes sure that things are as its caller believes. It locks the
batch before its chunks and clusters, always in this order, so that no two transactions wait for each other.
All functions raise DatabaseError when the jobs database cannot be written.
"""

from collections.abc import Callable, Collection, Sequence
from copy import copy
from datetime import datetime, timedelta
from enum import Enum, auto
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Case, F, Q, QuerySet, Value, When

from jobs.batches.decision import ChunkDecision
from jobs.batches.scopes import Scope
from jobs.batches.selectors import failures_in_a_row
from jobs.models import MESSAGE_LENGTH, Batch, BatchChunk, ClusterBackoff
from jobs.selectors import VERIFY_STEP
from jobs.signatures import chunk_is_signed, sign_chunk
from tmsdash.db import clock
from tmsdash.db.transactions import one_at_a_time, single_write, write_transaction
from tmsdash.text import one_line, sentence

DATABASE = "jobs"
State = BatchChunk.State

LEASE_KEPT = 0.95  # the share of a lease with which it is not extended yet
NO_RUNNER: dict[str, Any] = {"runner": "", "runner_until": None, "resume_at": None}


# -- Runners ------------------------------------------------------------------------------------------------------


def lease(batch: Batch, runner: str, lease_s: float, *, dead_runner: str = "") -> bool:
    """Give `runner` the batch for `lease_s` seconds and set it running; False if another runner has it.

    `dead_runner` is one that the caller knows to be dead, so that nobody waits for the end of its lease.
    """
    now = clock.now(DATABASE)
    free = Batch.objects.filter(Q(runner__in=["", dead_runner]) | Q(runner_until__lte=now), pk=batch.pk)
    held = {"runner": runner, "runner_until": now + timedelta(seconds=lease_s)}
    with write_transaction(DATABASE):
        # One statement looks and takes, so that of two runners that look at once one gets it.
        return bool(free.update(**held, state=Batch.State.RUNNING, reason="", resume_at=None, ended_at=None))


def release(batch: Batch, runner: str, reason: str = "") -> bool:
    """Give the lease back; False if the runner does not hold it any more.

    A batch that still runs is stopped for `reason`; what stopped it before keeps its own.
    """
    return _release(Batch.objects.filter(pk=batch.pk, runner=runner), reason)


def release_dead(batches: Sequence[Batch], reason: str) -> None:
    """Give back the leases of runners who seem dead, but for those that were extended since `batches` were read."""
    held = (Q(pk=batch.pk, runner=batch.runner, runner_until=batch.runner_until) for batch in batches)
    _release(Batch.objects.filter(reduce(or_, held)), reason)


def _release(held: QuerySet[Batch], reason: str) -> bool:
    stopped = {
        "state": Batch.State.STOPPED,
        "reason": one_line(reason, MESSAGE_LENGTH),
        "ended_at": clock.now(DATABASE),
    }
    is_running = Q(state=Batch.State.RUNNING)
    changed = {name: Case(When(is_running, Value(value)), default=F(name)) for name, value in stopped.items()}
    with single_write(DATABASE):
        return bool(held.update(**changed, **NO_RUNNER))


# -- Claims -------------------------------------------------------------------------------------------------------


class Idle(Enum):
    """Why there is no chunk for a runner to send."""

    FOR_NOW = auto()  # there may be one later
    FOR_GOOD = auto()  # the batch is done or stopped, or another runner has it


def claim(
    batch: Batch, runner: str, calls_at_once: int, answered: Collection[int] = (), *, lease_s: float = 0
) -> BatchChunk | Idle:
    """Give `runner`, and no other, the next chunk that may be sent now.

    No cluster gets more than `calls_at_once` calls of all batches together, and only one after it asked for fewer.
    `answered` are primary keys of chunks that TMS accepted although the ledger does not say so yet. If `lease_s` is
    given, the lease is extended to so many seconds, unless nearly all of that is left.
    """
    now = clock.now(DATABASE)
    with write_transaction(DATABASE):
        # Locked first: it may be paused, stopped or leased by somebody else at this very moment.
        current = Batch.objects.select_for_update().get(pk=batch.pk)
        if current.state == Batch.State.PAUSED and current.resume_at and current.resume_at <= now:
            _set_state(current, Batch.State.RUNNING)
        if current.runner != runner or current.state in (Batch.State.STOPPED, Batch.State.DONE):
            return Idle.FOR_GOOD
        is_kept = current.runner_until and current.runner_until > now + timedelta(seconds=lease_s * LEASE_KEPT)
        if lease_s and not is_kept:
            current.runner_until = now + timedelta(seconds=lease_s)
            current.save(update_fields=["runner_until"])
        if current.state == Batch.State.PAUSED:
            return Idle.FOR_NOW
        chunk = _next_chunk(current, now, calls_at_once, answered)
        if chunk:
            return _claim_chunk(current, chunk, now)
        if current.chunks.filter(state__in=[State.WAITING, State.CALLING]).exists():
            return Idle.FOR_NOW
        _set_state(current, Batch.State.DONE)
        return Idle.FOR_GOOD


def _next_chunk(batch: Batch, now: datetime, calls_at_once: int, answered: Collection[int]) -> BatchChunk | None:
    """Return the first chunk that waits, is due, and whose cluster may get one more call; None if there is none."""
    waiting = batch.chunks.filter(Q(not_before=None) | Q(not_before__lte=now), state=State.WAITING)
    # Whoever goes on after the first one came to nothing means the others.
    if batch.first_only and batch.chunks.filter(number=0, state__in=[State.WAITING, State.CALLING]).exists():
        waiting = waiting.filter(number=0)
    # Sorted, since each is locked in turn: batches for the same clusters must lock them in the same order.
    urls = sorted(set(waiting.order_by().values_list("cluster_url", flat=True).distinct()))
    clusters = [url for url in urls if _may_call(url, now, calls_at_once, answered)]
    return waiting.filter(cluster_url__in=clusters).order_by("number").first() if clusters else None


def _may_call(cluster_url: str, now: datetime, calls_at_once: int, answered: Collection[int]) -> bool:
    """Tell whether a cluster may get one more call. The answer holds until the caller's transaction ends."""
    # Calls of all batches count, and their rows are not locked: without this, two batches could both count the last
    # free call as theirs.
    one_at_a_time(DATABASE, cluster_url)
    backoff = ClusterBackoff.objects.filter(cluster_url=cluster_url).first()
    if backoff and backoff.not_before and backoff.not_before > now:
        return False
    # Only those of living runners: what a dead one left in this state is no call any more.
    calling = BatchChunk.objects.filter(cluster_url=cluster_url, state=State.CALLING, batch__runner_until__gt=now)
    return calling.exclude(pk__in=answered).count() < (1 if backoff and backoff.failures else calls_at_once)


def _claim_chunk(batch: Batch, chunk: BatchChunk, now: datetime) -> BatchChunk | Idle:
    if not chunk.has_sound_try:
        what = f"Chunk {chunk.number + 1} was changed in the database: it has no valid number of tries."
        _set_state(batch, Batch.State.STOPPED, f"{what} Nothing is sent. {VERIFY_STEP}")
        return Idle.FOR_GOOD
    chunk.batch = batch  # the attempt id is derived from it
    chunk.state, chunk.runner, chunk.started_at = State.CALLING, batch.runner, now
    chunk.attempt_id = chunk.derived_attempt_id
    # When it ended before, and how long it had to wait, stays: see failures_in_a_row.
    chunk.save(update_fields=["state", "runner", "started_at", "attempt_id"])
    return chunk


def unclaim(chunk: BatchChunk) -> bool:
    """Let a chunk wait again whose runner died before anything was sent; False if it is not claimed like this now."""
    with write_transaction(DATABASE):
        claimed = BatchChunk.objects.filter(pk=chunk.pk, tries=chunk.tries, runner=chunk.runner, state=State.CALLING)
        return bool(claimed.update(state=State.WAITING, runner="", started_at=None))


# -- Decisions ----------------------------------------------------------------------------------------------------


def settle(chunk: BatchChunk, decision: ChunkDecision) -> bool:
    """Write a decision on a chunk that is being sent or unknown; False if its try was decided already."""
    with write_transaction(DATABASE):
        batch = Batch.objects.select_for_update().get(pk=chunk.batch_id)
        return _settle(batch, chunk, decision)


def settle_in_row(chunk: BatchChunk, decide: Callable[[int], ChunkDecision], begun_at: datetime) -> ChunkDecision:
    """Write and return what `decide` makes of how many chunks before this one failed, one after the other.

    Those count that ended after `begun_at`, whoever sent them: chunks that end at once are counted in turn.
    """
    with write_transaction(DATABASE):
        batch = Batch.objects.select_for_update().get(pk=chunk.batch_id)
        decision = decide(failures_in_a_row(batch, begun_at))
        _settle(batch, chunk, decision)
    return decision


def _settle(batch: Batch, chunk: BatchChunk, decision: ChunkDecision) -> bool:
    now = clock.now(DATABASE)  # with the batch locked, so that the order of the ends is that of their times
    is_open = Q(state__in=[State.CALLING, State.UNKNOWN])
    if decision.attempt_id:  # its runner was frozen, taken for dead, and made its attempt after all
        is_open |= Q(state=State.WAITING, started_at=None, attempt_id=decision.attempt_id)
    undecided = BatchChunk.objects.filter(is_open, pk=chunk.pk, tries=chunk.tries)
    if not undecided.update(**_decided_fields(chunk, decision, now)):
        return False
    if decision.backoff_s is not None:
        _back_off(chunk.cluster_url, now + timedelta(seconds=decision.backoff_s))
    elif decision.state == State.ACCEPTED:
        ClusterBackoff.objects.filter(cluster_url=chunk.cluster_url).exclude(failures=0).update(failures=0)
    _follow_in_batch(batch, decision, now)
    return True


def _decided_fields(chunk: BatchChunk, decision: ChunkDecision, now: datetime) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "state": decision.state,
        "message": one_line(decision.message, MESSAGE_LENGTH),
        "http_status": decision.http_status,
        "attempt_id": decision.attempt_id or chunk.attempt_id,
        "runner": "",
        "ended_at": None if decision.is_skipped else now,  # it has no place in the row of those that failed or not
        "tries": chunk.tries + decision.retry,
        "not_before": now + timedelta(seconds=decision.delay_s) if decision.delay_s else None,
    }
    if decision.set_aside:
        smaller = _without(chunk, decision.set_aside)
        names = ("cids", "customer_count", "set_aside", "set_aside_count", "mac", "key_id")
        fields |= {name: getattr(smaller, name) for name in names}
    return fields


def _without(chunk: BatchChunk, unknown_ids: frozenset[str]) -> BatchChunk:
    """Return the chunk with these ids set aside, and signed. One that was tampered with gets no signature."""
    smaller = copy(chunk)
    smaller.cids = [cid for cid in chunk.cids if cid not in unknown_ids]
    smaller.set_aside = [*chunk.set_aside, *(cid for cid in chunk.cids if cid in unknown_ids)]
    smaller.customer_count, smaller.set_aside_count = len(smaller.cids), len(smaller.set_aside)
    if chunk_is_signed(chunk):  # else ours would make the forger's list one that may be sent
        sign_chunk(smaller)
    else:
        smaller.mac = smaller.key_id = ""
    return smaller


def _back_off(cluster_url: str, until: datetime) -> None:
    backoff, is_new = ClusterBackoff.objects.get_or_create(
        cluster_url=cluster_url, defaults={"not_before": until, "failures": 1}
    )
    if not is_new:  # calls that ran at once end one after the other; the longest wait that was asked for counts
        longest = max(until, backoff.not_before or until)
        ClusterBackoff.objects.filter(pk=backoff.pk).update(not_before=longest, failures=F("failures") + 1)


def _follow_in_batch(batch: Batch, decision: ChunkDecision, now: datetime) -> None:
    """Pause or stop a running batch if that follows from what became of one of its chunks."""
    if batch.state != Batch.State.RUNNING:
        return
    if decision.batch_state:
        resume_at = now + timedelta(seconds=decision.resume_s) if decision.resume_s is not None else None
        _set_state(batch, decision.batch_state, decision.reason, resume_at)
    elif not batch.first_only or decision.state == State.WAITING:
        return
    elif decision.state == State.ACCEPTED:
        batch.first_only = False
        _set_state(batch, Batch.State.PAUSED, "The first customer was accepted. Look at it in TMS, then go on.")
    elif decision.is_skipped:
        batch.first_only = False
        _set_state(batch, Batch.State.PAUSED, "The first customer was asked for already, so it was skipped. Go on?")
    else:
        _set_state(batch, Batch.State.STOPPED, f"The first customer was not accepted: {sentence(decision.message)}")


def retry(batch: Batch, scope: Scope) -> int:
    """Make a new try of each chunk that the scope retries, and return how many there are."""
    with write_transaction(DATABASE):
        chunks = BatchChunk.objects.filter(batch_id=batch.pk, state__in=scope.value, customer_count__gt=0)
        more = Case(When(state=State.REFUSED, then=0), default=1)
        return chunks.update(state=State.WAITING, tries=F("tries") + more, not_before=None, ended_at=None)


# -- What operators decide ----------------------------------------------------------------------------------------


def pause(batch: Batch, reason: str) -> bool:
    """Let a running batch send nothing new; its runner keeps the token. False if it does not run."""
    return _move(batch, Batch.State.PAUSED, reason, from_states=[Batch.State.RUNNING])


def stop(batch: Batch, reason: str) -> bool:
    """Let a batch send nothing new, and its runner end. False if it is neither running nor paused."""
    return _move(batch, Batch.State.STOPPED, reason, from_states=[Batch.State.RUNNING, Batch.State.PAUSED])


def resume(batch: Batch) -> bool:
    """Let a paused batch go on that still has its runner; False if it is not paused or has none."""
    return batch.has_runner and _move(batch, Batch.State.RUNNING, "", from_states=[Batch.State.PAUSED])


def explain(batch: Batch, reason: str) -> None:
    """Say why a stopped batch does not run."""
    _move(batch, Batch.State.STOPPED, reason, from_states=[Batch.State.STOPPED])


def stop_all(reason: str) -> int:
    """Stop every batch that is not done, whoever carries it, and return how many there are."""
    with write_transaction(DATABASE):
        unfinished = Batch.objects.exclude(state=Batch.State.DONE)
        return unfinished.update(state=Batch.State.STOPPED, reason=one_line(reason, MESSAGE_LENGTH), **NO_RUNNER)


def _move(batch: Batch, state: Batch.State, reason: str, *, from_states: Collection[Batch.State]) -> bool:
    with write_transaction(DATABASE):
        current = Batch.objects.select_for_update().get(pk=batch.pk)
        if current.state not in from_states:
            return False
        _set_state(current, state, reason)
    return True


def _set_state(batch: Batch, state: Batch.State, reason: str = "", resume_at: datetime | None = None) -> None:
    batch.state, batch.reason, batch.resume_at = state, one_line(reason, MESSAGE_LENGTH), resume_at
    batch.ended_at = clock.now(DATABASE) if state in (Batch.State.DONE, Batch.State.STOPPED) else None
    batch.save(update_fields=["state", "reason", "resume_at", "ended_at", "first_only"])
