"""What operators do with batches: one function for each, called by the pages and by the command.

They differ in what carries the batch: a thread of the server, or the command's own process. Each hands its engine over.
For both of them:

1. A server in passive mode starts nothing and goes on with nothing.
2. Only users who may trigger Set Actions do anything here. Only its owner goes on with a batch; the others may pause
   and stop it, since that sends nothing.
3. A list that holds the bearer token is never written to the ledger.

All functions raise Refusal and DatabaseError.
"""

import logging
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from django.views.decorators.debug import sensitive_variables

from audit.actors import Actor
from jobs.batches import ledger
from jobs.batches.creation import create_batch
from jobs.batches.lists import NewBatch, NewChunk
from jobs.batches.scopes import Scope
from jobs.models import Batch
from setactions.batches import background
from setactions.batches.recovery import catch_up
from setactions.limits import check_active
from setactions.permissions import check_may_set_action
from setactions.refusal import Refusal
from setactions.token import Token

logger = logging.getLogger(__name__)

# Carries a batch for an actor with their token, now or from now on. Raises Refusal if it cannot begin.
Engine = Callable[[Batch, Actor, Token, Scope], None]


@sensitive_variables("token")
def start_batch(*, user: Any, actor: Actor, new: NewBatch, token: Token, engine: Engine = background.start) -> Batch:
    """Write a new batch and let `engine` carry it. The same id again returns the batch that is there.

    What keeps the engine from beginning does not undo the batch: it is stopped for this reason, and can go on later.
    """
    check_may_set_action(user)
    batch, is_new = create_batch(user.get_username(), replace(new, chunks=_without_token(new.chunks, token)))
    _check_owner(user, batch)
    if is_new:
        logger.info("[BATCH] %s: started by %s, %d customers", batch.batch_id, batch.user_id, batch.customer_count)
        try:
            _carry(engine, batch, actor, token, Scope.WAITING)
        except Refusal as refusal:
            ledger.explain(batch, refusal.message)
    return batch


def find_batch(*, user: Any, batch_id: uuid.UUID, list_digest: str) -> Batch | None:
    """Return the user's batch with this id, to go on with, or None if there is none. It must be of this very list."""
    batch = Batch.objects.filter(batch_id=batch_id).first()
    if batch is None:
        return None
    _check_owner(user, batch)
    if batch.list_digest != list_digest:
        what = "The batch with this id was given another list, cluster or action."
        todo = "Give it the same file to go on with it, or no batch id for a new batch."
        raise Refusal(409, "file", f"{what} {todo}")
    return batch


@sensitive_variables("token")
def go_on(
    *, user: Any, actor: Actor, batch: Batch, token: Token | None, scope: Scope, engine: Engine = background.start
) -> None:
    """Let a batch go on with what `scope` says. One that is paused, and still has its process, needs no token."""
    _check_owner(user, batch)
    catch_up(batch)
    if not (scope is Scope.WAITING and ledger.resume(batch)):
        _carry(engine, batch, actor, token, scope)
    logger.info("[BATCH] %s: %s goes on with it (%s)", batch.batch_id, user.get_username(), scope.name)


def pause_batch(*, user: Any, batch: Batch) -> None:
    """Send nothing new until it is resumed; the token stays in memory."""
    check_may_set_action(user)
    if not ledger.pause(batch, f"Paused by {user.get_username()}."):
        raise Refusal(409, "request", "This batch is not running, so there is nothing to pause.")


def stop_batch(*, user: Any, batch: Batch) -> None:
    """Send nothing new, and forget the token; running calls are finished."""
    check_may_set_action(user)
    if not ledger.stop(batch, f"Stopped by {user.get_username()}."):
        raise Refusal(409, "request", "This batch is not running, so there is nothing to stop.")


@sensitive_variables("token")
def _carry(engine: Engine, batch: Batch, actor: Actor, token: Token | None, scope: Scope) -> None:
    check_active()
    if token is None:
        raise Refusal(400, "token", "Enter your bearer token for this cluster: no process holds one for this batch.")
    engine(batch, actor, token, scope)


def _check_owner(user: Any, batch: Batch) -> None:
    check_may_set_action(user)
    if batch.user_id != user.get_username():
        raise Refusal(403, "user", f"This batch belongs to {batch.user_id}, and only they can go on with it.")


@sensitive_variables("token")
def _without_token(chunks: Iterable[NewChunk], token: Token) -> Iterator[NewChunk]:
    for chunk in chunks:
        token.check_not_among(chunk.cids)  # while the batch is being written, so that the whole of it is rolled back
        yield chunk
