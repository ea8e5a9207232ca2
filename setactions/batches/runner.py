"""Carries one batch in threads of this process, which claim chunk after chunk and send each.

What a runner does stands in this order, so that it may die at any point:

1. It puts up its mark, then gets the lease: whoever finds the lease without the mark may take it for dead.
2. With the lease, it catches up with what a runner before it left, and only then makes new tries: a chunk in doubt may
   turn out to be one of them.
3. A chunk is claimed in the ledger before it is sent, so that nobody else sends it. It is settled in the ledger after
   its attempt is over, which the audit has by then: should settling fail, whoever looks at the chunk later learns
   from the audit what became of it.
4. It releases the lease when no worker sends anything any more, and takes down its mark last.

The token is in the memory of this process only.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack

from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.db import close_old_connections, connections
from django.views.decorators.debug import sensitive_variables

from audit.actors import Actor
from jobs.batches import ledger
from jobs.batches.decision import ChunkDecision
from jobs.batches.ledger import Idle
from jobs.batches.scopes import Scope
from jobs.models import Batch, BatchChunk
from setactions.batches.carrier import APART_S, Carrier, persist
from setactions.batches.liveness import RunnerMark, is_dead
from setactions.batches.recovery import catch_up
from setactions.token import Token
from setactions.word import NO_WORD, Word
from tmsdash.db.transactions import drop_if_broken
from tmsdash.processes import is_ending

logger = logging.getLogger(__name__)

POLL_S = 0.5  # how soon a worker without work sees what other processes did to the ledger
HEARTBEATS_PER_LEASE = 4


class Runner:
    """One turn of this process at carrying a batch. `run` blocks until there is nothing left for it to do."""

    @sensitive_variables("token")
    def __init__(
        self,
        batch: Batch,
        actor: Actor,
        token: Token,
        *,
        workers: int,
        scope: Scope = Scope.WAITING,
        word: Word = NO_WORD,
        allow_unusual: bool = False,
        on_settled: Callable[[BatchChunk, ChunkDecision], None] | None = None,
    ) -> None:
        """Prepare to send what `scope` says in at most `workers` calls at once.

        With the `word` customers who were asked for already are sent, too, and the INTENTs of the chunks say so;
        with `allow_unusual` so are ids that look damaged, of a batch that was made without a word for them.
        `on_settled` is told of each chunk that was sent, by the thread that sent it.
        """
        self.batch = batch
        self._user_id, self._workers, self._scope = actor.user_id, workers, scope
        self._carrier = Carrier(actor, token, word=word, allow_unusual=allow_unusual)
        self._calls = threading.Semaphore(workers)
        self._answered: set[int] = set()  # chunks that TMS accepted, while that is being recorded
        self._on_settled = on_settled
        self._ending = threading.Event()
        self._changed = threading.Event()
        self._mark = RunnerMark()
        self._reason = ""

    @property
    def token_refused(self) -> bool:
        """Whether TMS did not take the token."""
        return self._carrier.token_refused

    def lease(self) -> bool:
        """Become the batch's runner; False if another process that may be alive is."""
        current = Batch.objects.get(pk=self.batch.pk)
        dead_runner = current.runner if is_dead(current.runner) else ""
        self._mark.put_up()
        if ledger.lease(current, self._mark.name, settings.TMS_BATCH_LEASE_S, dead_runner=dead_runner):
            return True
        self._mark.take_down()
        return False

    def end(self, reason: str) -> None:
        """Let the running calls finish, then end; safe to call from anywhere, signal handlers excepted."""
        self._reason = self._reason or reason
        self._ending.set()
        self._changed.set()

    def run(self) -> None:
        """Carry the batch, which `lease` got, until it is done, stopped or handed over."""
        self._closing(self._run)

    def _run(self) -> None:
        logger.info("[BATCH] %s: running for %s", self.batch.batch_id, self._user_id)
        heart = threading.Thread(target=self._closing, args=(self._beat,), name="batch-heart")
        workers = [
            threading.Thread(target=self._closing, args=(self._work,), name="batch-worker")
            for _ in range(2 * self._workers)  # one calls while the other records what it was answered
        ]
        try:
            self._closing(self._prepare)
            heart.start()
            for number, worker in enumerate(workers):
                worker.start()
                if number < self._workers:
                    self._ending.wait(APART_S)
            for worker in workers:
                worker.join()
        finally:
            self._ending.set()
            if heart.ident:
                heart.join()
            persist(self.batch, lambda: ledger.release(self.batch, self._mark.name, self._reason))
            self._mark.take_down()
            logger.info("[BATCH] %s: no longer running here. %s", self.batch.batch_id, self._reason)

    def _prepare(self) -> None:
        self.batch = Batch.objects.get(pk=self.batch.pk)
        catch_up(self.batch)
        if retried := ledger.retry(self.batch, self._scope):
            logger.info("[BATCH] %s: %d chunks are tried again", self.batch.batch_id, retried)

    def _closing(self, work: Callable[[], None]) -> None:
        failure = "The dashboard failed; see its log."
        try:
            work()
            failure = ""
        except Exception as error:
            logger.exception("[BATCH] EXCEPTION: %s", self.batch.batch_id)
            failure = f"The dashboard failed ({type(error).__name__}); see its log."
        finally:
            if failure:  # the others would wait for what this thread has claimed
                self.end(failure)
            connections.close_all()

    def _beat(self) -> None:
        lease_s = settings.TMS_BATCH_LEASE_S
        while not self._ending.wait(lease_s / HEARTBEATS_PER_LEASE):
            try:
                with drop_if_broken("jobs"):
                    if not ledger.heartbeat(self.batch, self._mark.name, lease_s):
                        return  # another process has the lease, as the workers will see when they claim
            except AnyDatabaseError as error:
                logger.warning("[BATCH] WARNING: %s: the lease could not be extended: %s", self.batch.batch_id, error)
            close_old_connections()

    def _work(self) -> None:
        while not self._ending.is_set():
            is_work_left = self._work_once()
            close_old_connections()  # those of PostgreSQL go back to their pool, as after a request
            if not is_work_left:
                self._changed.wait(POLL_S)

    def _work_once(self) -> bool:
        """Carry out one chunk at most; False if there was nothing to do, but may be later."""
        with ExitStack() as call:
            self._calls.acquire()
            call.callback(self._calls.release)
            if is_ending():
                self.end("The server that ran it was stopped. Go on with your token.")
            if self._ending.is_set():
                return True
            self._changed.clear()  # before the claim, so that no change after it is missed
            calls_at_once, answered = settings.TMS_BATCH_CALLS, [*self._answered]
            chunk = persist(self.batch, lambda: ledger.claim(self.batch, self._mark.name, calls_at_once, answered))
            if chunk is Idle.FOR_NOW:
                return False
            if isinstance(chunk, BatchChunk):
                self._carry_out(chunk, call)
            else:
                self.end("" if chunk else "The jobs database could not be used.")
        self._changed.set()  # one more call for the other workers, or the end
        return True

    def _carry_out(self, chunk: BatchChunk, call: ExitStack) -> None:
        def on_accepted() -> None:
            # What is left to do is recording, which must not keep the next call waiting. In this order: the worker
            # that goes on claims at once, and the ledger must not count this call then.
            self._answered.add(chunk.pk)
            call.close()
            self._changed.set()

        decision = self._carrier.carry_out(chunk, on_accepted)
        self._answered.discard(chunk.pk)
        if self._carrier.token_refused:  # only now: the batch is paused with the reason first
            self._ending.set()
        if self._on_settled:
            self._on_settled(chunk, decision)
