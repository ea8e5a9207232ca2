"""The only truth about batches: who carries them, and what became of each chunk. Runners may die at any moment.

What `new_batches` has written is changed nowhere else.

Every change is one short transaction that first makes sure that things are still as its caller believes.
All raise DatabaseError when the jobs database cannot be written.
"""

import uuid
from collections.abc import Collection, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from jobs.models import MESSAGE_LENGTH, Batch, BatchChunk, ClusterBackoff
from jobs.signatures import chunk_is_signed, sign_chunk
from tmsdash.db.transactions import one_at_a_time, write_transaction
from tmsdash.text import one_line

DATABASE = "jobs"
State = BatchChunk.State

TELL_ADMIN = "Nothing is sent. Tell the admin: manage.py audit_verify --jobs says more."

# What a new attempt may be made of when its user wants it: it is certain that nothing was applied.
RUNNABLE_AGAIN = frozenset({State.NOT_SENT, State.NOT_APPLIED})


# -- Runners ------------------------------------------------------------------------------------------------------


def take(batch: Batch, runner: str, lease_s: float, *, dead_runner: str = "") -> bool:
    """Make `runner` the one that carries the batch, and let it run; False if another one does.

    `dead_runner` is one that the caller knows to be dead, so that its lease need not be waited for.
    """
    now = timezone.now()
    is_free = Q(runner__in=["", dead_runner]) | Q(runner_until__lte=now)
    with write_transaction(DATABASE):
        return bool(
            Batch.objects.filter(is_free, pk=batch.pk).update(
                runner=runner,
                runner_until=now + timedelta(seconds=lease_s),
                state=Batch.State.RUNNING,
                reason="",
                resume_at=None,
                ended_at=None,
            )
        )


def beat(batch: Batch, runner: str, lease_s: float) -> bool:
    """Give a sign of life; False if the batch is not this runner's any more."""
    until = timezone.now() + timedelta(seconds=lease_s)
    with write_transaction(DATABASE):
        return bool(Batch.objects.filter(pk=batch.pk, runner=runner).update(runner_until=until))


def release(batch: Batch, runner: str, reason: str = "") -> None:
    """End a runner's work: what still runs is stopped for this reason, unless somebody gave another one."""
    with write_transaction(DATABASE):
        mine = Batch.objects.filter(pk=batch.pk, runner=runner)
        mine.filter(state=Batch.State.RUNNING).update(
            state=Batch.State.STOPPED, reason=one_line(reason, MESSAGE_LENGTH)
        )
        mine.update(runner="", runner_until=None, resume_at=None)


class Claimed(Enum):
    """What `claim` found for a runner to do."""

    CHUNK = auto()  # one to send
    WAIT = auto()  # nothing now, but perhaps later
    OVER = auto()  # nothing any more: it is done or stopped, or another runner has it


def claim(
    batch: Batch, runner: str, calls_at_once: int, answered: Collection[int] = ()
) -> tuple[Claimed, BatchChunk | None]:
    """Take the next chunk that may be sent now, for `runner` alone.

    No cluster gets more than `calls_at_once` calls of all batches together, and only one while it asks for fewer.
    `answered` are primary keys of chunks that the caller knows to be accepted already: their calls are over.
    """
    now = timezone.now()
    with write_transaction(DATABASE):
        current = Batch.objects.select_for_update().get(pk=batch.pk)
        if current.state == Batch.State.PAUSED and current.resume_at and current.resume_at <= now:
            _change(current, Batch.State.RUNNING)
        if current.runner != runner or current.state in (Batch.State.STOPPED, Batch.State.DONE):
            return Claimed.OVER, None
        if current.state == Batch.State.PAUSED:
            return Claimed.WAIT, None
        chunk = _next_chunk(current, now, calls_at_once, answered)
        if chunk and not chunk.has_sound_try:
            _change(
                current, Batch.State.STOPPED, f"Chunk {chunk.number + 1} was changed: its try is none. {TELL_ADMIN}"
            )
            return Claimed.OVER, None
        if chunk:
            chunk.batch = current
            chunk.state, chunk.runner, chunk.started_at = State.CALLING, runner, now
            chunk.attempt_id = chunk.derived_attempt_id
            chunk.ended_at = chunk.not_before = None
            chunk.save(update_fields=["state", "runner", "started_at", "attempt_id", "ended_at", "not_before"])
            return Claimed.CHUNK, chunk
        if current.chunks.filter(state__in=[State.WAITING, State.CALLING]).exists():
            return Claimed.WAIT, None
        _change(current, Batch.State.DONE)
        return Claimed.OVER, None


def _next_chunk(batch: Batch, now: datetime, calls_at_once: int, answered: Collection[int]) -> BatchChunk | None:
    """Return the first chunk that waits, is due, and whose cluster has a free place; None if there is none."""
    waiting = batch.chunks.filter(Q(not_before=None) | Q(not_before__lte=now), state=State.WAITING)
    if batch.first_only:
        waiting = waiting.filter(number=0)
    clusters = _clusters_of(waiting)
    free = [cluster_url for cluster_url in clusters if _has_place(cluster_url, now, calls_at_once, answered)]
    return waiting.filter(cluster_url__in=free).order_by("number").first() if free else None


def _clusters_of(chunks: QuerySet[BatchChunk]) -> list[str]:
    return sorted(set(chunks.order_by().values_list("cluster_url", flat=True).distinct()))


def _has_place(cluster_url: str, now: datetime, calls_at_once: int, answered: Collection[int]) -> bool:
    """Tell whether one more call may go to a cluster; the caller's transaction holds the answer until it ends."""
    one_at_a_time(DATABASE, cluster_url)
    pace = ClusterBackoff.objects.filter(cluster_url=cluster_url).first()
    if pace and pace.not_before and pace.not_before > now:
        return False
    calling = BatchChunk.objects.filter(cluster_url=cluster_url, state=State.CALLING, batch__runner_until__gt=now)
    return calling.exclude(pk__in=answered).count() < (1 if pace and pace.failures else calls_at_once)


# -- What becomes of chunks ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What became of a chunk's try, and what follows from it for the chunk, its cluster and its batch.

    `again` makes a new try of it, `wait_s` seconds later at the earliest. `slow_s` spares the cluster for so long.
    `batch_state` pauses or stops the batch for `reason`; a paused one goes on by itself after `resume_s`.
    """

    state: BatchChunk.State
    message: str = ""
    http_status: int | None = None
    attempt_id: uuid.UUID | None = None
    set_aside: frozenset[str] = frozenset()
    again: bool = False
    wait_s: float = 0
    slow_s: float | None = None
    batch_state: Batch.State | None = None
    reason: str = ""
    resume_s: float | None = None


def settle(chunk: BatchChunk, settled: Settled) -> bool:
    """Write down what became of a chunk that is being sent, or in doubt; False if that is known already."""
    now = timezone.now()
    known = [cid for cid in chunk.cids if cid not in settled.set_aside]
    with write_transaction(DATABASE):
        batch = Batch.objects.select_for_update().get(pk=chunk.batch_id)
        fields: dict[str, Any] = {
            "state": settled.state,
            "message": one_line(settled.message, MESSAGE_LENGTH),
            "http_status": settled.http_status,
            "attempt_id": settled.attempt_id or chunk.attempt_id,
            "runner": "",
            "ended_at": now,
            "tries": chunk.tries + settled.again,
            "not_before": now + timedelta(seconds=settled.wait_s) if settled.wait_s else None,
        }
        if settled.set_aside:
            fields |= {"cids": known, "customer_count": len(known)}
            fields |= {"set_aside": [*chunk.set_aside, *(cid for cid in chunk.cids if cid in settled.set_aside)]}
            fields["set_aside_count"] = len(fields["set_aside"])
            fields |= _signature_of(chunk, fields)
        in_question = BatchChunk.objects.filter(
            pk=chunk.pk, tries=chunk.tries, state__in=[State.CALLING, State.UNKNOWN]
        )
        if not in_question.update(**fields):
            return False
        if settled.slow_s is not None:
            _slow_down(chunk.cluster_url, now + timedelta(seconds=settled.slow_s))
        elif settled.state == State.ACCEPTED:
            ClusterBackoff.objects.filter(cluster_url=chunk.cluster_url).exclude(failures=0).update(failures=0)
        _follow_in_batch(batch, settled, now)
    return True


def _signature_of(chunk: BatchChunk, fields: dict[str, Any]) -> dict[str, str]:
    """Return the signature of a chunk with fewer ids; none, so that it is never sent, if it is not as it was signed."""
    if not chunk_is_signed(chunk):
        return {"mac": "", "key_id": ""}
    smaller = copy(chunk)
    smaller.cids, smaller.set_aside = fields["cids"], fields["set_aside"]
    sign_chunk(smaller)
    return {"mac": smaller.mac, "key_id": smaller.key_id}


def _slow_down(cluster_url: str, until: datetime) -> None:
    pace, is_new = ClusterBackoff.objects.get_or_create(
        cluster_url=cluster_url, defaults={"not_before": until, "failures": 1}
    )
    if not is_new:
        longest = max(until, pace.not_before or until)
        ClusterBackoff.objects.filter(pk=pace.pk).update(not_before=longest, failures=F("failures") + 1)


def _follow_in_batch(batch: Batch, settled: Settled, now: datetime) -> None:
    """Pause or stop a running batch if that follows from what became of one of its chunks."""
    if batch.state != Batch.State.RUNNING:
        return
    if settled.batch_state:
        resume_at = now + timedelta(seconds=settled.resume_s) if settled.resume_s is not None else None
        _change(batch, settled.batch_state, settled.reason, resume_at)
    elif batch.first_only and settled.state == State.ACCEPTED:
        batch.first_only = False
        _change(batch, Batch.State.PAUSED, "The first customer was accepted. Look at it in TMS, then go on.")
    elif batch.first_only and settled.state != State.WAITING:
        _change(batch, Batch.State.STOPPED, f"The first customer was not accepted: {settled.message}")


def _change(batch: Batch, state: Batch.State, reason: str = "", resume_at: datetime | None = None) -> None:
    batch.state, batch.reason, batch.resume_at = state, one_line(reason, MESSAGE_LENGTH), resume_at
    batch.ended_at = timezone.now() if state == Batch.State.DONE else None
    batch.save(update_fields=["state", "reason", "resume_at", "ended_at", "first_only"])


def free(chunk: BatchChunk) -> bool:
    """Let a chunk wait again whose runner died before anything was sent; its try stays the same."""
    with write_transaction(DATABASE):
        claimed = BatchChunk.objects.filter(pk=chunk.pk, tries=chunk.tries, runner=chunk.runner, state=State.CALLING)
        return bool(claimed.update(state=State.WAITING, runner="", started_at=None))


# -- What users do ------------------------------------------------------------------------------------------------


def pause(batch: Batch, reason: str) -> bool:
    """Let a running batch send nothing new; its runner keeps the token. False if it does not run."""
    return _move(batch, [Batch.State.RUNNING], Batch.State.PAUSED, reason)


def stop(batch: Batch, reason: str) -> bool:
    """Let a batch send nothing new, and its runner end. False if it does not run or pause."""
    return _move(batch, [Batch.State.RUNNING, Batch.State.PAUSED], Batch.State.STOPPED, reason)


def resume(batch: Batch) -> bool:
    """Let a paused batch go on whose runner is there; False if it is not paused, or has none."""
    return batch.has_runner and _move(batch, [Batch.State.PAUSED], Batch.State.RUNNING, "")


def explain(batch: Batch, reason: str) -> None:
    """Say why a stopped batch does not run."""
    _move(batch, [Batch.State.STOPPED], Batch.State.STOPPED, reason)


def stop_all(reason: str) -> int:
    """Stop every batch that is not done, whoever carries it, and return how many there are."""
    with write_transaction(DATABASE):
        left = Batch.objects.exclude(state=Batch.State.DONE)
        return left.update(
            state=Batch.State.STOPPED,
            reason=one_line(reason, MESSAGE_LENGTH),
            runner="",
            runner_until=None,
            resume_at=None,
        )


def _move(batch: Batch, before: Sequence[Batch.State], state: Batch.State, reason: str) -> bool:
    with write_transaction(DATABASE):
        current = Batch.objects.select_for_update().get(pk=batch.pk)
        if current.state not in before:
            return False
        _change(current, state, reason)
    return True


def requeue(batch: Batch, *, without_unknown: bool) -> int:
    """Make a new try of each chunk of which nothing was applied, and return how many there are.

    These are chunks that never left or were found not applied; `without_unknown` adds those that TMS rejected
    for ids that have been set aside since. What is unknown is never among them.
    """
    states = RUNNABLE_AGAIN | ({State.SET_ASIDE} if without_unknown else set())
    with write_transaction(DATABASE):
        again = BatchChunk.objects.filter(batch_id=batch.pk, state__in=states, customer_count__gt=0)
        return again.update(state=State.WAITING, tries=F("tries") + 1, not_before=None, ended_at=None)
