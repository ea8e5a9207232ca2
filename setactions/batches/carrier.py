"""Sends claimed chunks of batches through the ordinary service, and settles them in the ledger."""

import logging
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import Error as AnyDatabaseError
from django.views.decorators.debug import sensitive_variables

from audit.actors import Actor
from audit.bodies import Compared
from audit.choices import Action, Outcome
from jobs.batches import ledger
from jobs.batches.decision import ChunkDecision
from jobs.batches.selectors import failures_of
from jobs.models import Batch, BatchChunk
from setactions import service
from setactions.batches.chunk_check import check_chunk
from setactions.batches.policy import decide
from setactions.inputs.shapes import has_damaged
from setactions.payload import BatchPart, Submission
from setactions.refusal import Refusal
from setactions.results import Result, refused
from setactions.tms.clusters import cluster_at
from setactions.token import Token
from setactions.word import NO_WORD, Word
from tmsdash.db.transactions import drop_if_broken
from tmsdash.kill_points import kill_point

logger = logging.getLogger(__name__)
Written = TypeVar("Written")

APART_S = 0.04  # calls that begin together end together, and then wait for one another to be recorded
RETRY_S = 2  # after the ledger could not be used
LEDGER_TRIES = 10


class Carrier:
    """Carries out one chunk after the other for an actor with their token; in several threads at once, if need be.

    `token_refused` tells whether TMS did not take the token: nothing more can be sent then.
    """

    @sensitive_variables("token")
    def __init__(
        self,
        actor: Actor,
        token: Token,
        begun_at: datetime,
        *,
        word: Word = NO_WORD,
        allow_unusual: bool = False,
        compared: Compared | None = None,
    ) -> None:
        """Prepare; chunks that failed before the run was `begun_at` are none of the row that stops it."""
        self.token_refused = False
        self._actor, self._token, self._word, self._allow_unusual = actor, token, word, allow_unusual
        self._begun_at, self._compared = begun_at, compared

    def carry_out(self, chunk: BatchChunk, on_accepted: Callable[[], None]) -> ChunkDecision:
        """Send a chunk that was claimed, and settle it; `on_accepted` is called as soon as TMS has accepted it."""
        kill_point("batch: chunk claimed, nothing sent")
        result = self._send(chunk, on_accepted)
        kill_point("batch: attempt over, not in the ledger")
        if result.outcome == Outcome.REJECTED and result.http_status in (401, 403):
            self.token_refused = True
        decision = persist(chunk.batch, lambda: self._settle(chunk, result))
        if decision is None:  # the audit has the result, for whoever looks at the chunk when the ledger can be used
            decision = decide(result, chunk, backoffs=0, failures=0)
        logger.info(
            "[BATCH] %s: chunk %d of %d, try %d: %s",
            *(chunk.batch.batch_id, chunk.number + 1, chunk.batch.chunk_count, chunk.tries, decision.state.label),
            extra={"attempt_id": result.attempt_id},
        )
        return decision

    def _settle(self, chunk: BatchChunk, result: Result) -> ChunkDecision:
        if result.outcome == Outcome.ACCEPTED:
            decision = decide(result, chunk, backoffs=0, failures=0)
            ledger.settle(chunk, decision)
            return decision

        def decide_in_row(failures: int) -> ChunkDecision:
            return decide(result, chunk, backoffs=failures_of(chunk.cluster_url), failures=failures)

        return ledger.settle_in_row(chunk, decide_in_row, self._begun_at)

    def _send(self, chunk: BatchChunk, on_accepted: Callable[[], None]) -> Result:
        # Loaded for each chunk: an account that was switched off sends nothing more.
        user = get_user_model().objects.filter(username=self._actor.user_id).first() or AnonymousUser()
        try:
            check_chunk(chunk, self._token, allow_unusual=self._allow_unusual)
        except Refusal as refusal:
            return service.refuse(user=user, actor=self._actor, refusal=refusal)
        cluster = cluster_at(chunk.cluster_url)
        if cluster is None:
            sentence = "This cluster is not configured any more. Ask an administrator to check TMS_CLUSTERS."
            return refused(uuid.uuid4(), Refusal(403, "cluster", sentence))
        return service.set_action(
            user=user,
            actor=self._actor,
            submission=Submission(
                cluster,
                Action(chunk.action_code),
                chunk.action_sent,
                tuple(chunk.cids),
                allow_unusual=has_damaged(chunk.cids),  # with somebody's word, or it had not passed the check
                compared=self._compared,
                note=chunk.batch.note,
            ),
            token=self._token,
            attempt_id=chunk.derived_attempt_id,
            word=self._word,
            batch=BatchPart(
                batch_id=chunk.batch.batch_id,
                batch_created_at=chunk.batch.created_at,
                chunk=chunk.number + 1,
                try_number=chunk.tries,
                retry_of=chunk.attempt_id_of(chunk.tries - 1) if chunk.tries > 1 else None,
            ),
            on_accepted=on_accepted,
        )


def persist(batch: Batch, write: Callable[[], Written]) -> Written | None:
    """Return what `write` returns, after some tries if the ledger cannot be used; None if it never could."""
    for _ in range(LEDGER_TRIES):
        try:
            with drop_if_broken("jobs"):
                return write()
        except AnyDatabaseError as error:
            logger.warning("[BATCH] WARNING: %s: the ledger cannot be used: %s", batch.batch_id, error)
            time.sleep(RETRY_S)  # there is no event to wait for when another process holds a lock
    return None
