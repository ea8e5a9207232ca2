"""Runs batches through the queue: Celery's workers, on any number of hosts, carry them chunk by chunk.

As many tasks of a run go round as calls may be made at once. What holds for all that goes through the queue is in
`setactions.queue.relay`; besides, a chunk whose worker died is looked up in the audit once no call can last that long,
see `recovery`.
"""

import logging
import uuid

from celery.exceptions import OperationalError as QueueError
from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.views.decorators.debug import sensitive_variables

from audit.actors import Actor
from audit.bodies import Compared
from jobs import leases
from jobs.batches import ledger
from jobs.batches.ledger import Idle
from jobs.batches.scopes import Scope
from jobs.batches.selectors import count_clusters
from jobs.models import Batch, BatchChunk
from setactions.batches import afterwards
from setactions.batches.afterwards import check_afterwards
from setactions.batches.carrier import RETRY_S, Carrier
from setactions.batches.crew import Crew
from setactions.batches.recovery import catch_up
from setactions.batches.runs import Run
from setactions.limits import WORKERS_PER_BATCH
from setactions.liveness import FAILED, is_dead
from setactions.queue.liveness import new_run_name
from setactions.queue.relay import ONCE_MORE, Relay
from setactions.refusal import Refusal
from setactions.token import Token
from setactions.word import NO_WORD, Word
from tmsdash.celery import app
from tmsdash.db import clock
from tmsdash.db.transactions import drop_if_broken
from tmsdash.log_context import about
from tmsdash.seals import BrokenSealError

logger = logging.getLogger(__name__)

POLL_S = 0.5  # until a task that found nothing to do looks again
PAUSED_POLL_S = 2
TURN_S = 3  # after which a worker sees to other batches, and ends if it is asked to
# After so many turns in vain a task ends, if as many calls are running as there are to be tasks: what comes twice would
# otherwise go round for ever.
SPARE_TURNS = 3

UNREACHABLE = "The queue of the batches cannot be reached, so nothing was sent. Try again, then tell the admin."

_CARRY = "tmsdash.carry"  # the names of the tasks
relay = Relay(_CARRY, Batch, "batch_id", unseal=Run.unsealed, release=ledger.release, log_word="BATCH")


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
        relay.send_all(run, current)
    except QueueError as error:
        logger.error("[BATCH] EXCEPTION: %s: no task was sent: %s", batch.batch_id, error)
        ledger.release(current, run.name, UNREACHABLE)
        raise Refusal(503, "request", UNREACHABLE) from None
    except AnyDatabaseError:
        ledger.release(current, run.name, "The jobs database could not be used.")
        raise
    relay.watch.keep(run)


@sensitive_variables()
def _carry(batch_id: str, run: str, sealed: str, turns_in_vain: int = 0) -> None:
    """Carry a batch for a turn of the `sealed` run of this name; `turns_in_vain` found nothing to do just before it."""
    with about(batch_id=batch_id):
        if opened := relay.opened(batch_id, run, sealed):
            with relay.watch.working(opened[0]):
                _Turn(*opened, turns_in_vain).take()


carry = app.task(name=_CARRY)(_carry)


@sensitive_variables()
def _check(batch_id: str, run: str, sealed: str) -> None:
    """Look at what TMS shows of a batch that a run has done."""
    with about(batch_id=batch_id):
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
        check.apply_async(kwargs=task, countdown=afterwards.CHECK_AFTER_S, retry_policy=ONCE_MORE, kwargsrepr="")
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
            relay.send_next(self._run, RETRY_S)
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
            relay.send_next(self._run)

    def _poll(self) -> None:
        """Send a task that looks again, unless this one is to spare."""
        # This worker has the token: if nobody could extend the lease, as while a process that was frozen kept the
        # database locked, and nobody took the run's place either, it is not dead.
        leases.heartbeat(self._batch, self._run.name, settings.TMS_BATCH_LEASE_S)
        self._batch.refresh_from_db()
        catch_up(self._batch)
        if self._turns_in_vain < SPARE_TURNS or self._calling() < self._run.tasks:
            after_s = PAUSED_POLL_S if self._batch.state == Batch.State.PAUSED else POLL_S
            relay.send_next(self._run, after_s, turns_in_vain=self._turns_in_vain + 1)

    def _calling(self) -> int:
        return self._batch.chunks.filter(state=BatchChunk.State.CALLING, runner=self._run.name).count()

    def _give_up(self, reason: str) -> None:
        # Of tasks that end at once, one holds the lease.
        if ledger.release(self._batch, self._run.name, reason) and self._run.check and not reason:
            _send_check(self._run)
        logger.info("[BATCH] %s: no longer running in the queue. %s", self._batch.batch_id, reason)
