"""What operators do with batches on the pages: one function for each. All raise Refusal, and DatabaseError."""

import logging
import uuid
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from audit.actors import Actor
from jobs.batches import ledger
from jobs.batches.creation import NewChunk, create_batch
from jobs.batches.scopes import Scope
from jobs.models import Batch
from setactions.batches import background
from setactions.batches.recovery import catch_up
from setactions.permissions import check_may_set_action
from setactions.refusal import Refusal
from setactions.submission import Submission, new_chunk
from setactions.token import Token

logger = logging.getLogger(__name__)


@sensitive_variables("token")
def start_batch(
    *,
    user: Any,
    actor: Actor,
    batch_id: uuid.UUID,
    submission: Submission,
    token: Token,
    file_name: str = "",
    first_only: bool = False,
) -> Batch:
    """Cut what was reviewed into chunks, and run them; the same batch id again shows the batch that is there."""
    check_may_set_action(user)
    token.check_not_among(submission.cids)
    batch, is_new = create_batch(
        batch_id=batch_id,
        user_id=user.get_username(),
        file_name=file_name,
        repeated=submission.repeated,
        first_only=first_only,
        chunks=_chunks_of(submission, first_only=first_only),
    )
    if batch.user_id != user.get_username():
        raise Refusal(409, "review", "This review cannot be used. Fill in the form again.")
    if is_new:
        logger.info("[BATCH] %s: started by %s, %d customers", batch_id, batch.user_id, batch.customer_count)
        try:
            background.start(batch, actor, token)
        except Refusal as refusal:  # its page tells, and lets it go on later
            ledger.explain(batch, refusal.message)
    return batch


def pause_batch(*, user: Any, batch: Batch) -> None:
    """Send nothing new until it is resumed; the token stays in memory."""
    check_may_set_action(user)
    if not ledger.pause(batch, f"Paused by {user.get_username()}."):
        raise Refusal(409, "request", "It does not run, so there is nothing to pause.")


def stop_batch(*, user: Any, batch: Batch) -> None:
    """Send nothing new, and forget the token; calls that are running are finished."""
    check_may_set_action(user)
    if not ledger.stop(batch, f"Stopped by {user.get_username()}."):
        raise Refusal(409, "request", "It does not run, so there is nothing to stop.")


@sensitive_variables("token")
def resume_batch(*, user: Any, actor: Actor, batch: Batch, token: Token | None) -> None:
    """Let a paused or stopped batch go on with what waits. A token is needed if no process holds one any more."""
    _check_own(user, batch)
    catch_up(batch)
    if not ledger.resume(batch):
        _start_again(actor, batch, token)
    logger.info("[BATCH] %s: resumed by %s", batch.batch_id, user.get_username())


@sensitive_variables("token")
def run_rest(*, user: Any, actor: Actor, batch: Batch, token: Token | None, without_unknown: bool) -> None:
    """Run what was not sent, and (without the ids that TMS does not know) what was rejected for them.

    Never what is unknown, nor what TMS refused as it is.
    """
    _check_own(user, batch)
    catch_up(batch)
    if batch.has_runner:
        raise Refusal(409, "request", "It is still being run. Stop it, or wait until it is done.")
    if token is None:
        raise _token_missing()
    count = ledger.retry(batch, Scope.REST_WITHOUT_UNKNOWN_IDS if without_unknown else Scope.REST)
    logger.info("[BATCH] %s: %d chunks again for %s", batch.batch_id, count, user.get_username())
    _start_again(actor, batch, token)


def _check_own(user: Any, batch: Batch) -> None:
    check_may_set_action(user)
    if batch.user_id != user.get_username():
        raise Refusal(403, "user", f"This batch is {batch.user_id}'s, who alone can go on with it.")


def _start_again(actor: Actor, batch: Batch, token: Token | None) -> None:
    if token is None:
        raise _token_missing()
    background.start(batch, actor, token)


def _token_missing() -> Refusal:
    return Refusal(400, "token", "Enter your bearer token for this cluster: no process holds one for this batch.")


def _chunks_of(submission: Submission, *, first_only: bool) -> Iterator[NewChunk]:
    ends = [*range(int(first_only) or settings.TMS_BATCH_CHUNK, len(submission.cids), settings.TMS_BATCH_CHUNK)]
    for start, end in pairwise([0, *ends, len(submission.cids)]):
        yield new_chunk(submission, submission.cids[start:end])
