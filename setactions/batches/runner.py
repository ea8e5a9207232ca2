"""Carries one batch in threads of this process, which claim chunk after chunk and send each.

What a runner does stands in this order, so that it may die at any point:

1. It puts up its mark, then gets the lease: whoever finds the lease without the mark may take it for dead.
2. With the lease, it catches up with what a runner before it left, and only then makes new tries: a chunk in doubt may
   turn out to be one of them.
3. A chunk is claimed in the ledger before it is sent, so that nobody else sends it. It is settled in the ledger after
   its attempt is over, which the audit has by then: should settling fail, whoever looks at the chunk later learns
   from the audit what became of it.
4. It releases the lease when none of its threads sends anything any more, and takes down its mark last.

The token is in the memory of this process only.
"""

import logging
import threading
from collections.abc import Callable

from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.db import close_old_connections
from django.views.decorators.debug import sensitive_variables

from audit.actors import Actor
from audit.bodies import Compared
from jobs import leases
from jobs.batches import ledger
from jobs.batches.decision import ChunkDecision
from jobs.batches.scopes import Scope
from jobs.models import Batch, BatchChunk
from setactions.batches.carrier import Carrier, persist
from setactions.batches.crew import Crew
from setactions.batches.recovery import catch_up
from setactions.liveness import RunnerMark, is_dead
from setactions.token import Token
from setactions.word import NO_WORD, Word
from tmsdash.db import clock
from tmsdash.db.transactions import drop_if_broken

logger = logging.getLogger(__name__)

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
        compared: Compared | None = None,
        on_settled: Callable[[BatchChunk, ChunkDecision], None] | None = None,
    ) -> None:
        """Prepare to send what `scope` says in at most `workers` calls at once.

        With the `word` customers who were asked for already are sent, too, and the INTENTs of the chunks say so;
        with `allow_unusual` so are ids that look damaged, of a batch that was made without a word for them. The INTENTs
        also say what was `compared` before.
        `on_settled` is told of each chunk that was sent, by the thread that sent it.
        """
        self.batch = batch
        self._user_id, self._scope = actor.user_id, scope
        self._mark = RunnerMark()
        begun_at = clock.now("jobs")
        self._carrier = Carrier(actor, token, begun_at, word=word, allow_unusual=allow_unusual, compared=compared)
        self._crew = Crew(batch, self._mark.name, self._carrier, workers, on_settled=on_settled)

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
        self._crew.end(reason)

    def run(self) -> None:
        """Carry the batch, which `lease` got, until it is done, stopped or handed over."""
        self._crew.closing(self._run)

    def _run(self) -> None:
        logger.info("[BATCH] %s: running for %s", self.batch.batch_id, self._user_id)
        heart = threading.Thread(target=self._crew.closing, args=(self._beat,), name="batch-heart")
        try:
            self._crew.closing(self._prepare)
            self._crew.closing(heart.start)
            self._crew.run()
        finally:
            reason = self._crew.reason
            self._crew.end("")
            if heart.ident:
                heart.join()
            self.give_up(reason)

    def give_up(self, reason: str) -> None:
        """Give the batch back, which is stopped for `reason` if it still runs; nothing of it is being sent any more."""
        persist(self.batch, lambda: ledger.release(self.batch, self._mark.name, reason))
        self._mark.take_down()
        logger.info("[BATCH] %s: no longer running here. %s", self.batch.batch_id, reason)

    def _prepare(self) -> None:
        self.batch = Batch.objects.get(pk=self.batch.pk)
        catch_up(self.batch)
        if retried := ledger.retry(self.batch, self._scope):
            logger.info("[BATCH] %s: %d chunks are tried again", self.batch.batch_id, retried)

    def _beat(self) -> None:
        lease_s = settings.TMS_BATCH_LEASE_S
        while not self._crew.wait(lease_s / HEARTBEATS_PER_LEASE):
            try:
                with drop_if_broken("jobs"):
                    if not leases.heartbeat(self.batch, self._mark.name, lease_s):
                        return  # another process has the lease, as the crew will see when it claims
            except AnyDatabaseError as error:
                logger.warning("[BATCH] WARNING: %s: the lease could not be extended: %s", self.batch.batch_id, error)
            close_old_connections()
