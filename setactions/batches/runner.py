"""Carries one batch: workers that claim chunk after chunk and send each through the ordinary service.

The token is in this process' memory only. Whatever dies, the ledger tells what was done.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import Error as AnyDatabaseError
from django.db import close_old_connections, connections
from django.views.decorators.debug import sensitive_variables

from audit.actors import Actor
from audit.choices import Action, Outcome
from jobs.batches import ledger
from jobs.batches.ledger import Claimed
from jobs.batches.selectors import failures_of
from jobs.models import Batch, BatchChunk
from setactions import service
from setactions.batches.chunk_check import check_chunk
from setactions.batches.liveness import RunnerMark, is_dead
from setactions.batches.policy import follow, is_failure
from setactions.batches.recovery import catch_up
from setactions.refusal import Refusal
from setactions.results import Result, refused
from setactions.submission import BatchPart, Submission
from setactions.tms.clusters import cluster_at
from setactions.token import Token
from tmsdash.kill_points import kill_point
from tmsdash.processes import is_ending

logger = logging.getLogger(__name__)

POLL_S = 0.5  # what other processes do to the ledger is looked for so often
BEATS_PER_LEASE = 4
APART_S = 0.04  # calls that begin together end together, and then wait for one another to be recorded
RETRY_S = 2  # after the ledger could not be used
LEDGER_TRIES = 10


class Runner:
    """One process' turn at carrying a batch. `run` blocks until there is nothing left for it to do."""

    @sensitive_variables("token")
    def __init__(
        self,
        batch: Batch,
        actor: Actor,
        token: Token,
        *,
        workers: int,
        on_settled: Callable[[BatchChunk, ledger.Settled], None] | None = None,
    ) -> None:
        """Prepare to make at most `workers` calls at once; `on_settled` is told of each that is over."""
        self.batch = batch
        self.token_refused = False
        self._actor, self._token, self._workers = actor, token, workers
        self._places = threading.Semaphore(workers)
        self._answered: set[int] = set()  # chunks that TMS accepted, while that is being recorded
        self._on_settled = on_settled
        self._ending = threading.Event()
        self._changed = threading.Event()
        self._lock = threading.Lock()
        self._failed_in_a_row = 0
        self._mark = RunnerMark()
        self._reason = ""

    def take(self) -> bool:
        """Become the batch's runner; False if another process that may be alive is."""
        current = Batch.objects.get(pk=self.batch.pk)
        dead_runner = current.runner if is_dead(current.runner) else ""
        self._mark.put_up()
        if ledger.take(current, self._mark.name, settings.TMS_BATCH_LEASE_S, dead_runner=dead_runner):
            return True
        self._mark.take_down()
        return False

    def end(self, reason: str) -> None:
        """Let the running calls finish, then end; safe to call from anywhere, signal handlers excepted."""
        self._reason = self._reason or reason
        self._ending.set()
        self._changed.set()

    def run(self) -> None:
        """Carry the batch, which `take` got, until it is done, stopped or handed over."""
        logger.info("[BATCH] %s: running for %s", self.batch.batch_id, self._actor.user_id)
        heart = threading.Thread(target=self._closing, args=(self._beat,), name="batch-heart")
        workers = [
            threading.Thread(target=self._closing, args=(self._work,), name="batch-worker")
            for _ in range(2 * self._workers)  # one calls while the other records what it was answered
        ]
        try:
            self.batch = Batch.objects.get(pk=self.batch.pk)
            catch_up(self.batch)
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
            self._persist(lambda: ledger.release(self.batch, self._mark.name, self._reason))
            self._mark.take_down()
            logger.info("[BATCH] %s: no longer running here. %s", self.batch.batch_id, self._reason)

    def _closing(self, work: Callable[[], None]) -> None:
        failure = "The dashboard failed; see its log."
        try:
            work()
            failure = ""
        except Exception as error:
            logger.exception("[BATCH] EXCEPTION: %s", self.batch.batch_id)
            failure = f"The dashboard failed ({type(error).__name__}); see its log."
        finally:
            if failure:  # the others would wait for what this one has claimed
                self.end(failure)
            connections.close_all()

    def _beat(self) -> None:
        lease_s = settings.TMS_BATCH_LEASE_S
        while not self._ending.wait(lease_s / BEATS_PER_LEASE):
            try:
                if not ledger.beat(self.batch, self._mark.name, lease_s):
                    return  # another process has taken it over, as the workers will find
            except AnyDatabaseError as error:
                connections["jobs"].close()
                logger.warning("[BATCH] WARNING: %s: no sign of life could be given: %s", self.batch.batch_id, error)
            close_old_connections()

    def _work(self) -> None:
        while not self._ending.is_set():
            is_work_left = self._work_once()
            close_old_connections()  # those of PostgreSQL go back to their pool, as after a request
            if not is_work_left:
                self._changed.wait(POLL_S)

    def _work_once(self) -> bool:
        """Carry out one chunk at most; False if there was nothing to do, but may be later."""
        with ExitStack() as place:
            self._places.acquire()
            place.callback(self._places.release)
            if is_ending():
                self.end("The server that ran it was stopped. Go on with your token.")
            if self._ending.is_set():
                return True
            self._changed.clear()
            found, chunk = self._claim()
            if chunk is not None:
                self._carry_out(chunk, place)
            elif found is Claimed.OVER:
                self._ending.set()
        if found is not Claimed.WAIT:
            self._changed.set()  # a place for other workers, or the end
        return found is not Claimed.WAIT

    def _claim(self) -> tuple[Claimed, BatchChunk | None]:
        claimed: tuple[Claimed, BatchChunk | None] = (Claimed.OVER, None)

        def claim() -> None:
            nonlocal claimed
            claimed = ledger.claim(self.batch, self._mark.name, settings.TMS_BATCH_CALLS, [*self._answered])

        if not self._persist(claim):
            self.end("The jobs database could not be used.")
        return claimed

    def _carry_out(self, chunk: BatchChunk, place: ExitStack) -> None:
        """Send one chunk, and write down what became of it. Its place is free again as soon as TMS accepted."""
        kill_point("batch: chunk claimed, nothing sent")

        def on_accepted() -> None:
            self._answered.add(chunk.pk)
            place.close()
            self._changed.set()

        result = self._send(chunk, on_accepted)
        kill_point("batch: attempt over, not in the ledger")
        with self._lock:
            failures = 0 if result.outcome == Outcome.ACCEPTED else failures_of(chunk.cluster_url)
            settled = follow(result, chunk, failures=failures, in_a_row=self._failed_in_a_row)
            self._failed_in_a_row = self._failed_in_a_row + 1 if is_failure(settled) else 0
        if result.outcome == Outcome.REJECTED and result.http_status in (401, 403):
            self.token_refused = True
        # Should this fail, too, whoever looks at the chunk later learns from the audit what became of it.
        self._persist(lambda: ledger.settle(chunk, settled))
        self._answered.discard(chunk.pk)
        if self.token_refused:
            self._ending.set()
        logger.info(
            "[BATCH] %s: chunk %d of %d, try %d: %s",
            *(self.batch.batch_id, chunk.number + 1, self.batch.chunk_count, chunk.tries, settled.state.label),
        )
        if self._on_settled:
            self._on_settled(chunk, settled)

    def _send(self, chunk: BatchChunk, on_accepted: Callable[[], None]) -> Result:
        # Asked for each time: an account that was switched off sends nothing more.
        user = get_user_model().objects.filter(username=self._actor.user_id).first() or AnonymousUser()
        try:
            check_chunk(chunk)
        except Refusal as refusal:
            return service.refuse(user=user, actor=self._actor, refusal=refusal)
        cluster = cluster_at(chunk.cluster_url)
        if cluster is None:
            sentence = "This cluster is not configured any more. Ask an administrator to check TMS_CLUSTERS."
            return refused(uuid.uuid4(), Refusal(403, "cluster", sentence))
        before = chunk.attempt_id_of(chunk.tries - 1) if chunk.tries > 1 else None
        return service.set_action(
            user=user,
            actor=self._actor,
            submission=Submission(cluster, Action(chunk.action_code), chunk.action_sent, tuple(chunk.cids)),
            token=self._token,
            attempt_id=chunk.derived_attempt_id,
            batch=BatchPart(
                batch_id=self.batch.batch_id,
                chunk=chunk.number + 1,
                try_number=chunk.tries,
                retry_of=before,
            ),
            on_accepted=on_accepted,
        )

    def _persist(self, write: Callable[[], object]) -> bool:
        """Do `write`, again after a while if the ledger cannot be used; False if it never could."""
        for _ in range(LEDGER_TRIES):
            try:
                write()
            except AnyDatabaseError as error:
                connections["jobs"].close()
                logger.warning("[BATCH] WARNING: %s: the ledger cannot be used: %s", self.batch.batch_id, error)
                time.sleep(RETRY_S)  # nobody tells when a lock of another process ends
            else:
                return True
        return False
