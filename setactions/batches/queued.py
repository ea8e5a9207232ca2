"""Runs batches through a queue: Celery's workers, on any number of hosts, carry them chunk by chunk.

A batch that is carried like this has a *run*, which holds its lease as a runner does. As many tasks of it go round as
calls may be made at once. A task says no more than "carry this batch for a turn": the ledger decides which chunks that
means, if any, and each task sends its successor. These rules hold:

1. A task that comes twice, late or never does no harm. The ledger gives a chunk to one of them, and none to a run that
   has lost its lease.
2. A chunk whose worker died is looked up in the audit once no call can last that long, see `recovery`.
3. Whoever has the token of a run, the server that started it and each worker that had a task of it, watches its lease:
   if nobody extends it any more, its tasks are lost, and a new run of the batch sends new ones.
4. The token crosses the queue sealed, with all else that the run may do. Each worker seals it anew for the next task,
   so that what stays in the queue for ten minutes opens no more. It is never in a database.
"""

import logging
import signal
import uuid
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from celery import signals
from celery.exceptions import OperationalError as QueueError
from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.db import connections
from django.views.decorators.debug import sensitive_variables
from redis.exceptions import RedisError

from audit.actors import Actor
from audit.bodies import Compared
from audit.groups import FLUSH_WAIT_S, flush
from jobs.batches import ledger
from jobs.batches.ledger import Idle
from jobs.batches.scopes import Scope
from jobs.batches.selectors import count_clusters
from jobs.models import Batch, BatchChunk
from setactions.batches import afterwards
from setactions.batches.afterwards import check_afterwards
from setactions.batches.carrier import APART_S, RETRY_S, Carrier
from setactions.batches.crew import Crew
from setactions.batches.liveness import new_run_name
from setactions.batches.recovery import catch_up
from setactions.batches.runs import Run, TooOldError
from setactions.batches.watch import Watch
from setactions.limits import WORKERS_PER_BATCH
from setactions.liveness import FAILED, is_dead
from setactions.refusal import Refusal
from setactions.seals import BrokenSealError
from setactions.token import Token
from setactions.word import NO_WORD, Word
from tmsdash import broker
from tmsdash.celery import QUEUE, app
from tmsdash.db import clock
from tmsdash.db.transactions import drop_if_broken
from tmsdash.processes import ignore, share_interpreter

logger = logging.getLogger(__name__)

POLL_S = 0.5  # until a task that found nothing to do looks again
PAUSED_POLL_S = 2
TURN_S = 3  # after which a worker sees to other batches, and ends if it is asked to
# After so many turns in vain a task ends, if as many calls are running as there are to be tasks: what comes twice would
# otherwise go round for ever.
SPARE_TURNS = 3
# Shares of a lease. With less than half of it left, the tasks are lost, or wait in the queue: then it is extended, but
# not so far that a worker seems to have one of them.
LEASE_LOST, LEASE_OF_WAITING = 0.5, 0.8
_ONCE_MORE = {"max_retries": 1, "interval_start": 0, "interval_step": 0}  # on a fresh connection

UNREACHABLE = "The queue of the batches cannot be reached, so nothing was sent. Try again, then tell the admin."
UNREADABLE = "A worker could not unseal the token: it was sealed more than ten minutes ago, or under another TOKEN_KEY."
GO_ON = "Go on with your token."


@sensitive_variables("token")
def start(
    batch: Batch,
    actor: Actor,
    token: Token,
    scope: Scope,
    *,
    word: Word = NO_WORD,
    check: bool = False,
    compared: Compared | None = None,
) -> None:
    """Let workers carry `batch` from now on, and look with `check` at what TMS shows when it is done.

    Raises Refusal: 503 no queue, 409 somebody else carries it.
    """
    tasks = min(WORKERS_PER_BATCH, settings.TMS_BATCH_CALLS * count_clusters(batch))
    run = Run(batch.batch_id, new_run_name(clock.now("jobs")), actor, token, word, tasks, check, compared)
    current = Batch.objects.get(pk=batch.pk)
    dead_runner = current.runner if is_dead(current.runner) else ""
    if not ledger.lease(current, run.name, settings.TMS_BATCH_LEASE_S, dead_runner=dead_runner):
        sentence = "This batch is still being run. Stop it, or wait a minute until its last calls are finished."
        raise Refusal(409, "request", sentence)
    try:
        current.refresh_from_db()
        catch_up(current)
        ledger.retry(current, scope)
        _send_all(run)
    except QueueError as error:
        logger.error("[BATCH] EXCEPTION: %s: no task was sent: %s", batch.batch_id, error)
        ledger.release(current, run.name, UNREACHABLE)
        raise Refusal(503, "request", UNREACHABLE) from None
    except AnyDatabaseError:
        ledger.release(current, run.name, "The jobs database could not be used.")
        raise
    _watch.keep(run)


@sensitive_variables()
def _carry(batch_id: str, run: str, sealed: str, turns_in_vain: int = 0) -> None:
    """Carry a batch for a turn of the `sealed` run of this name; `turns_in_vain` found nothing to do just before it."""
    try:
        with drop_if_broken("jobs"):
            batch = Batch.objects.filter(batch_id=batch_id, runner=run).first()
            if batch is None:  # it has ended, or another run has it
                return
            try:
                opened = Run.unsealed(batch.batch_id, run, sealed)
            except (BrokenSealError, Refusal) as error:
                if isinstance(error, TooOldError) and batch.has_runner:  # others extend its lease, and will see to it
                    logger.warning("[BATCH] WARNING: %s: a task was sealed too long ago, so it ends", batch_id)
                    return
                logger.error("[BATCH] EXCEPTION: %s: %s", batch_id, UNREADABLE)
                ledger.release(batch, run, f"{UNREADABLE} {GO_ON}")
                return
    except AnyDatabaseError as error:  # whoever watches the run sends another task
        logger.warning("[BATCH] WARNING: %s: the ledger cannot be used: %s", batch_id, error)
        return
    with _watch.working(opened):
        _Turn(opened, batch, turns_in_vain).take()


carry = app.task(name="tmsdash.carry")(_carry)


@sensitive_variables()
def _check(batch_id: str, run: str, sealed: str) -> None:
    """Look at what TMS shows of a batch that a run has done."""
    try:
        opened = Run.unsealed(uuid.UUID(batch_id), run, sealed)
    except (BrokenSealError, Refusal):
        logger.warning("[BATCH] WARNING: %s: not checked: the token could not be unsealed any more", batch_id)
        return
    if batch := Batch.objects.filter(batch_id=batch_id).first():
        check_afterwards(batch, opened.actor, opened.token, wait_s=0)


check = app.task(name="tmsdash.check")(_check)


@sensitive_variables()
def _send_check(run: Run) -> None:
    task = {"batch_id": str(run.batch_id), "run": run.name, "sealed": run.sealed()}
    try:
        check.apply_async(kwargs=task, countdown=afterwards.CHECK_AFTER_S, retry_policy=_ONCE_MORE, kwargsrepr="")
    except QueueError as error:
        logger.warning("[BATCH] WARNING: %s: not checked: the queue cannot be reached: %s", run.batch_id, error)


class _Turn:
    """What a worker does for a run: chunk after chunk for a while, and then the next task."""

    def __init__(self, run: Run, batch: Batch, turns_in_vain: int = 0) -> None:
        self._run, self._batch, self._turns_in_vain = run, batch, turns_in_vain
        self._carrier = Carrier(run.actor, run.token, run.begun_at, word=run.word, compared=run.compared)
        lease_s = settings.TMS_BATCH_LEASE_S
        self._crew = Crew(batch, run.name, self._carrier, 1, lease_s=lease_s, turn_s=TURN_S)

    def take(self) -> None:
        self._crew.run()
        try:
            with drop_if_broken("jobs", "audit"):
                self._go_on()
        except AnyDatabaseError as error:
            logger.warning("[BATCH] WARNING: %s: the ledger cannot be used: %s", self._batch.batch_id, error)
            self._send_next(RETRY_S)
        except Exception:
            logger.exception("[BATCH] EXCEPTION: %s", self._batch.batch_id)
            self._give_up(FAILED)

    def _go_on(self) -> None:
        if self._carrier.token_refused:  # the batch is paused with the reason; nobody holds a token for it any more
            self._give_up("")
        elif self._crew.has_failed:
            self._give_up(self._crew.reason)
        elif self._crew.idle is Idle.FOR_GOOD:
            # The lease is given back by the last task of the run, which may be calling.
            if not self._calling():
                self._give_up("")
        elif self._crew.idle is Idle.FOR_NOW:
            self._poll()
        else:
            self._send_next()

    def _poll(self) -> None:
        """Send a task that looks again, unless this one is to spare."""
        self._batch.refresh_from_db()
        catch_up(self._batch)
        if self._turns_in_vain < SPARE_TURNS or self._calling() < self._run.tasks:
            after_s = PAUSED_POLL_S if self._batch.state == Batch.State.PAUSED else POLL_S
            self._send_next(after_s, turns_in_vain=self._turns_in_vain + 1)

    def _calling(self) -> int:
        return self._batch.chunks.filter(state=BatchChunk.State.CALLING, runner=self._run.name).count()

    def _give_up(self, reason: str) -> None:
        # Of tasks that end at once, one holds the lease.
        if ledger.release(self._batch, self._run.name, reason) and self._run.check and not reason:
            _send_check(self._run)
        logger.info("[BATCH] %s: no longer running in the queue. %s", self._batch.batch_id, reason)

    def _send_next(self, after_s: float = 0, **facts: Any) -> None:
        """Send the successor of this task. If the queue cannot be reached, whoever watches the run sends it."""
        try:
            _send(self._run, after_s, **facts)
        except QueueError as error:
            logger.warning("[BATCH] WARNING: %s: the queue cannot be reached: %s", self._batch.batch_id, error)


@sensitive_variables()
def _send(run: Run, after_s: float = 0, **facts: Any) -> None:
    task = {"batch_id": str(run.batch_id), "run": run.name, "sealed": run.sealed(), **facts}
    # The log of a worker names tasks, and not what they are given.
    carry.apply_async(kwargs=task, countdown=after_s or None, retry_policy=_ONCE_MORE, kwargsrepr="")


def _send_all(run: Run) -> None:
    """Send the first tasks of a run. Raises QueueError only if none could be sent."""
    for number in range(run.tasks):
        try:
            _send(run, number * APART_S)
        except QueueError:
            if not number:
                raise
            return


def _look_after(run: Run, *, is_working: bool) -> Run | None:
    """See to it that a run has its lease, and tasks that extend it; return it, or the one in its place, or None.

    It has lost half of its lease only if no worker has a task of it: then these wait in the queue, or are lost.
    """
    batch = Batch.objects.filter(batch_id=run.batch_id, runner=run.name).first()
    if batch is None or batch.state in (Batch.State.STOPPED, Batch.State.DONE):
        return None
    lease_s = settings.TMS_BATCH_LEASE_S
    if is_working:
        ledger.heartbeat(batch, run.name, lease_s)
        return run
    # Extended before the queue is asked, which may be long in answering. Of those who watch the run, one gets so far.
    if _is_left(batch, LEASE_LOST) or not ledger.hand_over(batch, run.name, run.name, lease_s * LEASE_OF_WAITING):
        return run
    if _has_waiting_tasks():
        return run
    follower = replace(run, name=new_run_name(run.begun_at))
    if not ledger.hand_over(batch, run.name, follower.name, lease_s * LEASE_OF_WAITING):
        return run  # a worker has just taken its tasks, or somebody else was first: the next look will tell
    logger.warning("[BATCH] %s: its tasks were lost, so new ones are sent", run.batch_id)
    with suppress(QueueError):
        _send_all(follower)
    return follower


def _is_left(batch: Batch, share: float) -> bool:
    """Tell whether more than this share of the batch's lease is left."""
    lease = timedelta(seconds=settings.TMS_BATCH_LEASE_S)
    return batch.runner_until is not None and batch.runner_until > clock.now("jobs") + lease * share


def _has_waiting_tasks() -> bool:
    """Tell whether the queue holds tasks that no worker has come to; True, too, while it does not answer."""
    try:
        with broker.client() as client:  # not by kombu, which would try for seconds
            return bool(client.llen(QUEUE))
    except RedisError as error:
        logger.warning("[BATCH] WARNING: the queue does not answer: %s", error)
        return True


_watch = Watch(_look_after)


def _end_process(**kwargs: Any) -> None:
    flush(FLUSH_WAIT_S)  # a worker's process ends without what Python does at its end
    connections.close_all()


def _begin_process(**kwargs: Any) -> None:
    # systemd tells all processes of a service to end, these among them. Their main process waits for what they do, as
    # it should, and they end with it.
    ignore(signal.SIGTERM, signal.SIGHUP)
    share_interpreter()


signals.worker_process_init.connect(_begin_process)
signals.worker_process_shutdown.connect(_end_process)
