"""What operators do with batches: one function for each, called by the pages and by the command.

They differ in what carries the batch: the engine of TMS_BATCH_ENGINE, or the command's own process, which hands an
engine over. For both of them:

1. A server in passive mode starts nothing and goes on with nothing.
2. Only users who may trigger Set Actions do anything here. Only its owner goes on with a batch; the others may pause
   and stop it, since that sends nothing.
3. A list that holds the bearer token is never written to the ledger.
4. Nothing starts or goes on with customers that were asked for already, see setactions.overlap, unless its user says
   so now. That word is in the memory of the process that carries the batch, like the token, and ends with it.
   What its user was shown of live state is there, too; a later run finds it in the INTENTs of an earlier one.
5. Nor does a batch go on with ids that look damaged, if it was made before anybody was asked about them.

All functions raise Refusal and DatabaseError.
"""

import logging
import uuid
from collections.abc import Iterable
from typing import Any, NoReturn, Protocol

from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from audit.actors import Actor
from audit.bodies import Compared
from audit.choices import Action, Source
from audit.selectors import find_attempt, opening_body
from jobs.batches import ledger
from jobs.batches.creation import create_batch
from jobs.batches.lists import Chunk, NewBatch, NewChunk, lists_of
from jobs.batches.overlap import BatchOverlapError
from jobs.batches.scopes import Scope
from jobs.batches.selectors import left_chunks
from jobs.models import Batch
from setactions import service as set_actions
from setactions.batches import background
from setactions.batches.chunk_check import UNASKED
from setactions.batches.recovery import catch_up
from setactions.inputs.shapes import has_damaged
from setactions.limits import check_active
from setactions.overlap import Overlap, TargetOverlap, find_overlaps, overlap_of, united, window_start
from setactions.payload import Submission
from setactions.permissions import check_may_set_action
from setactions.refusal import Refusal
from setactions.tms.clusters import cluster_at
from setactions.token import Token
from setactions.word import NO_WORD, Word
from tmsdash.db.transactions import drop_if_broken

logger = logging.getLogger(__name__)
HOW_TO_GO_ON = "Look there first; then skip the chunks that they are in, or send these customers again if you mean to."


class Engine(Protocol):
    """Carries a batch for an actor with their token, now or from now on. Raises Refusal if it cannot begin.

    With `check` it looks at what TMS shows once the batch is done, while it has the token. `compared` is for INTENTs.
    """

    def __call__(
        self,
        batch: Batch,
        actor: Actor,
        token: Token,
        scope: Scope,
        *,
        word: Word,
        check: bool,
        compared: Compared | None,
    ) -> None: ...


@sensitive_variables("token")
def start_batch(
    *,
    user: Any,
    actor: Actor,
    new: NewBatch,
    token: Token,
    word: Word = NO_WORD,
    check: bool = True,
    engine: Engine | None = None,
) -> Batch:
    """Write a new batch and let `engine` carry it. The same id again returns the batch that is there.

    Unless they are to be sent again, customers that were asked for already are refused (409), and nothing is written.
    What keeps the engine from beginning does not undo the batch: it is stopped for this reason, and can go on later.
    """
    check_may_set_action(user)
    for chunk in new.chunks:
        token.check_not_among(chunk.cids)
    overlap = united(overlaps_of_new(new.chunks, word))
    # Only now: what it shares customers with may be the batch itself, if it is started twice.
    if overlap and not Batch.objects.filter(batch_id=new.batch_id).exists():
        raise _refuse(user, actor, overlap.refusal(actor.source), new.chunks, new.note)
    try:
        batch, is_new = create_batch(user.get_username(), new, covers=word.covers_batch)
    except BatchOverlapError as error:
        overlap = overlap_of((cid for chunk in new.chunks for cid in chunk.cids), {}, error.shared)
        raise _refuse(user, actor, overlap.refusal(actor.source), new.chunks, new.note) from None
    _check_owner(user, batch)
    if is_new:
        facts = (batch.batch_id, batch.user_id, batch.customer_count)
        logger.info("[BATCH] %s: started by %s, %d customers", *facts, extra={"batch_id": batch.batch_id})
        try:
            _carry(engine, batch, actor, token, Scope.WAITING, word=word, check=check, compared=new.compared)
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
    *,
    user: Any,
    actor: Actor,
    batch: Batch,
    token: Token | None,
    scope: Scope,
    word: Word = NO_WORD,
    skip: bool = False,
    allow_unusual: bool = False,
    engine: Engine | None = None,
) -> None:
    """Let a batch go on with what `scope` says. One that is paused, and still has its process, needs no token.

    Customers that were asked for since are refused (409), unless they are to be sent again, or their chunks to `skip`:
    these are refused one by one then, and stay in the rest. A batch that was only paused goes on like this, since
    nobody can have asked for its customers meanwhile without an explicit word. Ids that look damaged, of a batch that
    was made without a word for them, are refused (409) unless `allow_unusual` is that word.
    """
    _check_owner(user, batch)
    catch_up(batch)
    if not (scope is Scope.WAITING and ledger.resume(batch)):
        if not (allow_unusual or batch.allow_unusual):
            _check_asked(user, actor, batch, scope)
        if token and not skip and (overlap := united(overlaps_of_rest(batch, scope, word))):
            todo = "" if actor.source == Source.COMMAND else HOW_TO_GO_ON
            raise _refuse(user, actor, overlap.refusal(actor.source, todo), left_chunks(batch, scope), batch.note)
        _carry(engine, batch, actor, token, scope, word=word, check=True, compared=_compared_before(batch))
    facts = (batch.batch_id, user.get_username(), scope.name)
    logger.info("[BATCH] %s: %s goes on with it (%s)", *facts, extra={"batch_id": batch.batch_id})


def overlaps_of_new(chunks: Iterable[NewChunk], word: Word = NO_WORD) -> list[TargetOverlap]:
    """Return which customers of a new batch were asked for already, apart from what the `word` covers."""
    with drop_if_broken("audit", "jobs"):
        return [*find_overlaps(chunks, word=word)]


def overlaps_of_rest(batch: Batch, scope: Scope, word: Word = NO_WORD) -> list[TargetOverlap]:
    """Return which customers, of those that a further run of a batch sends, were asked for since it was made."""
    with drop_if_broken("audit", "jobs"):
        left = left_chunks(batch, scope)
        return [*find_overlaps(left, accepted_since=window_start(batch.created_at), word=word, but=batch)]


def _check_asked(user: Any, actor: Actor, batch: Batch, scope: Scope) -> None:
    """Raise Refusal (409) if ids that look damaged are left of a batch that was made without a word for them."""
    with drop_if_broken("jobs"):
        if any(has_damaged(chunk.cids) for chunk in left_chunks(batch, scope)):
            refusal = Refusal(409, "request", f"Nothing was sent. {UNASKED}")
            raise _refuse(user, actor, refusal, left_chunks(batch, scope), batch.note)


def refuse_overlap(*, user: Any, actor: Actor, overlap: Overlap, chunks: Iterable[Chunk], note: str = "") -> NoReturn:
    """Record that some chunks were stopped because of an overlap, and raise the refusal (409)."""
    raise _refuse(user, actor, overlap.refusal(actor.source), chunks, note)


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


def _engine() -> Engine:
    """Return what carries batches of the pages."""
    if settings.TMS_BATCH_ENGINE == "celery":
        from setactions.batches import queued  # Celery is only where it is used

        return queued.start
    return background.start


def _compared_before(batch: Batch) -> Compared | None:
    """Return what the INTENTs of a batch say that its user was shown: the batch itself does not keep that."""
    with drop_if_broken("jobs", "audit"):
        chunk = batch.chunks.exclude(attempt_id=None).defer("cids").order_by("number").first()
        attempt = find_attempt(chunk.attempt_id_of(1)) if chunk and chunk.has_sound_try else None
        return opening_body(attempt).get("compared") if attempt else None


@sensitive_variables("token")
def _carry(
    engine: Engine | None,
    batch: Batch,
    actor: Actor,
    token: Token | None,
    scope: Scope,
    *,
    word: Word,
    check: bool,
    compared: Compared | None,
) -> None:
    check_active()
    if token is None:
        raise Refusal(400, "token", "Enter your bearer token for this cluster: no process holds one for this batch.")
    (engine or _engine())(batch, actor, token, scope, word=word, check=check, compared=compared)


def _check_owner(user: Any, batch: Batch) -> None:
    check_may_set_action(user)
    if batch.user_id != user.get_username():
        raise Refusal(403, "user", f"This batch belongs to {batch.user_id}, and only they can go on with it.")


def _refuse(user: Any, actor: Actor, refusal: Refusal, chunks: Iterable[Chunk], note: str = "") -> Refusal:
    """Record a refusal in the audit, with the first customers if all of them have the same action; return it."""
    lists = [*lists_of(chunks)]
    submission = None
    if len({(cluster_url, action_code) for cluster_url, action_code, _ in lists}) == 1:
        cluster_url, action_code, _ = lists[0]
        if cluster := cluster_at(cluster_url):
            cids = tuple(cid for *_, part in lists for cid in part)
            submission = Submission(cluster, Action(action_code), Action(action_code).label, cids, note=note)
    set_actions.refuse(user=user, actor=actor, refusal=refusal, submission=submission)
    return refusal
