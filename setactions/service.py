"""The service behind every Set Action: the form, the JSON endpoint, batches and commands only adapt to it.

`set_action` carries out one attempt in this order:

    0  check the user, the list and whether there is room; prove that a job could be written; compare with batches
    1  compare with other attempts, and write the INTENT to the audit       (any error: nothing is sent)
    2  open a transaction on the jobs database, without a lock
    3  call TMS
    4  write TMS's answer to the audit                      (an error is logged; the Job is the evidence)
    5  not accepted: done, no Job
    6  insert the Job with its customers
    7  commit; retry on a fresh connection
    8  hand RECORDED to the audit, which writes it soon         (nobody waits for it; the Job is the evidence)

So an accepted action always leaves a Job, or an audit entry that owes one, and nothing else ever does.
"""

import logging
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.db import connections
from django.views.decorators.debug import sensitive_variables

from audit import services as audit
from audit.actors import Actor
from audit.bodies import Intent, Refused
from audit.choices import Kind, Source
from audit.in_flight import NoRoomError
from audit.models import Attempt
from audit.overlap import OverlapError, attempts_sharing
from audit.selectors import find_attempt
from jobs import services as jobs
from jobs.batches.overlap import batches_sharing
from setactions.handover import Carrier, by_this_thread
from setactions.limits import call_slot, check_active, check_refusal_rate, no_room, turn_of_long_list
from setactions.overlap import overlap_of, window_start
from setactions.payload import BatchPart, Submission
from setactions.permissions import check_may_set_action
from setactions.recording import Budget, Recorder, log
from setactions.refusal import AuditUnavailable, Refusal
from setactions.results import Result, refused, result_of
from setactions.tms import client
from setactions.token import Token
from setactions.word import NO_WORD, Word
from tmsdash.db.transactions import drop_if_broken, transaction_around_call
from tmsdash.heavy_work import others_first
from tmsdash.kill_points import kill_point
from tmsdash.log_context import about

logger = logging.getLogger(__name__)

BEFORE_CALL_WAIT_S = 5.0  # seconds that steps 0 and 1 together may wait for locks
REFUSAL_WAIT_S = 1.0  # nothing was sent, so nobody should wait long until that is written down
CIDS_IN_LOG = 10
# Repeats and "not just now" are no mistakes of the user's: a 429 in their place would hide why nothing is done.
ALWAYS_RECORDED = (409, 503)


@sensitive_variables("token")
def set_action(
    *,
    user: Any,
    actor: Actor,
    submission: Submission,
    token: Token,
    attempt_id: uuid.UUID | None = None,
    word: Word = NO_WORD,
    batch: BatchPart | None = None,
    on_accepted: Callable[[], None] = lambda: None,
    carrier: Carrier = by_this_thread,
) -> Result:
    """Carry out one attempt and return what happened; nothing is ever sent twice under one attempt id.

    `attempt_id` comes from the review page or the client; without one a new id is made. An id that was used before
    gets its recorded result again, without a call. The `word` of a user lets customers be sent again that were asked
    for already, see setactions.overlap. What is refused is recorded under an id of its own. The Job of a chunk of a
    `batch` carries the batch's id. `on_accepted` is called as soon as TMS has accepted, before that is recorded.
    The `carrier` says in which thread steps 2 to 9 are done; `by_another_thread`, the result may be "being sent".
    """
    begun = time.monotonic()
    is_new, attempt_id = attempt_id is None, attempt_id or uuid.uuid4()
    intent = intent_of(actor, submission, send_again=bool(word), batch=batch)
    try:
        # First, because everything that is refused below is recorded together with its ids.
        token.check_not_among(submission.cids)
        check_may_set_action(user)
        _log_start(attempt_id, actor, submission)
        known = None if is_new else find_known(attempt_id)
        if known:
            return _replay(known, actor, intent)
        with about(attempt_id=attempt_id), ExitStack() as held:
            held.enter_context(call_slot())
            held.enter_context(turn_of_long_list(len(submission.cids)))
            recorder = _open(attempt_id, actor, intent, batch, word)
            if isinstance(recorder, Result):
                return recorder
            work = partial(_carry_out, submission, recorder, token, on_accepted)
            return carrier(partial(recorder.timed, work, begun), recorder, held)
    except AuditUnavailable as refusal:
        return refused(uuid.uuid4(), refusal)
    except Refusal as refusal:
        safe = submission if refusal.code != 400 else None
        return refuse(user=user, actor=actor, refusal=refusal, submission=safe)


def refuse(*, user: Any, actor: Actor, refusal: Refusal, submission: Submission | None = None) -> Result:
    """Record, under a fresh attempt id, that something was stopped before anything was sent.

    `submission` is what would have been sent, if it got that far. A refusal stands even if the audit cannot be
    written: that is logged, and nothing was sent anyway. A user whose requests are wrong too often is refused for
    that instead (429), and only the log has it.
    """
    attempt_id = uuid.uuid4()
    if actor.source and actor.source.is_request and refusal.code not in ALWAYS_RECORDED:
        try:
            check_refusal_rate(user)
        except Refusal as too_many:
            message = "REFUSED: user=%s, address=%s, too often to be audited: %s"
            log(attempt_id, message, actor.user_id, actor.ip_address, refusal.message, level=logging.WARNING)
            return refused(attempt_id, too_many)
    word = "WARNING" if "action" in refusal.errors else "REFUSED"
    log(attempt_id, "%s: user=%s, %s", word, actor.user_id, refusal.message, level=logging.WARNING)
    body: Refused = {
        "action_code": submission.action.value if submission else None,
        "action_name": submission.action.label if submission else "",
        "cids": submission.cids if submission else (),
        "cluster_url": submission.cluster.origin if submission else "",
        "customer_count": len(submission.cids) if submission else 0,
        "list_digest": "",
        "payload_digest": "",
        "source": actor.source or "",
        "code": refusal.code,
        "errors": refusal.errors,
        "message": refusal.message,
    }
    if submission and submission.note:
        body["note"] = submission.note
    try:
        audit.refuse_attempt(attempt_id, actor, body, wait_s=REFUSAL_WAIT_S)
    except AnyDatabaseError as error:
        log(attempt_id, "EXCEPTION: the refusal could not be audited: %s", str(error), level=logging.ERROR)
    return refused(attempt_id, refusal)


def _log_start(attempt_id: uuid.UUID, actor: Actor, submission: Submission) -> None:
    first_cids, count = " ".join(submission.cids[:CIDS_IN_LOG]), len(submission.cids)
    message = "Starting: user=%s, action=%s, cid_count=%d, cluster=%s, cids=%s"
    log(attempt_id, message, actor.user_id, submission.action_sent, count, submission.cluster.name, first_cids)


def find_known(attempt_id: uuid.UUID) -> Attempt | None:
    """Return the attempt that was made under this id; raises AuditUnavailable (503) if nobody can tell."""
    with drop_if_broken("audit", raising=partial(_unavailable, "audit")):
        return find_attempt(attempt_id)


def _check_ready(budget: Budget) -> None:
    """Refuse unless this server may send at all, and a job could be written now."""
    check_active()
    with drop_if_broken("jobs", raising=partial(_unavailable, "jobs")):
        jobs.assert_writable(wait_s=budget.left())


def _unavailable(database: str, error: Exception) -> Refusal:
    logger.error("[SET_ACTION] EXCEPTION: the %s database cannot be used: %s", database, error)
    message = f"The {database} database cannot be written, so nothing was sent. Try again, then tell the admin."
    return (AuditUnavailable if database == "audit" else Refusal)(503, "request", message)


def intent_of(actor: Actor, submission: Submission, *, send_again: bool, batch: BatchPart | None) -> Intent:
    """Return what opens the attempt in the audit: all that a Job could be made from later."""
    intent: Intent = {
        "action_code": submission.action.value,
        "action_name": submission.action.label,
        "action_sent": submission.action_sent,
        "batch_id": str(batch.batch_id) if batch else None,
        "cids": submission.cids,
        "cluster_url": submission.cluster.origin,
        "customer_count": len(submission.cids),
        "list_digest": submission.list_digest,
        "payload_digest": submission.payload_digest,
        "repeated": submission.repeated,
        "send_again": send_again,
        "source": actor.source or "",
    }
    if submission.allow_unusual:
        intent["allow_unusual"] = True
    if actor.run_by:
        intent["run_by"] = actor.run_by
    if submission.compared:
        intent["compared"] = submission.compared
    if submission.note:
        intent["note"] = submission.note
    return {**intent, **batch.facts} if batch else intent


def _replay(known: Attempt, actor: Actor, intent: Intent) -> Result:
    """Return the recorded result of an attempt id that comes again; raises Refusal (409) if it is another's."""
    if known.user_id != actor.user_id:
        raise Refusal(409, "Idempotency-Key", "This key cannot be used. Choose a new one.")
    if known.payload_digest != intent["payload_digest"]:
        raise Refusal(409, "Idempotency-Key", "This key was used for another payload. Choose a new one.")
    log(known.attempt_id, "Replaying: this attempt was made before, nothing is sent")
    return result_of(known, replayed=True)


def _open(
    attempt_id: uuid.UUID, actor: Actor, intent: Intent, batch: BatchPart | None, word: Word
) -> Recorder | Result:
    """Steps 0 (the databases) and 1; a Result if somebody else made the same attempt in the meantime."""
    budget = Budget(BEFORE_CALL_WAIT_S)
    _check_ready(budget)
    kill_point("service: checked, nothing written")
    accepted_since = window_start(batch.batch_created_at if batch else None)
    if not batch:
        _check_open_batches(intent, word, actor.source)
    log(attempt_id, "Logging audit: INTENT")
    with drop_if_broken("audit", raising=partial(_unavailable, "audit")):
        try:
            attempt, is_new = audit.open_attempt(
                attempt_id,
                actor,
                intent,
                accepted_since=accepted_since,
                covers=word.covers,
                at_most=settings.CALLS_OF_ALL_HOSTS,
                wait_s=budget.left(),
            )
        except OverlapError as error:
            raise overlap_of(intent["cids"], error.shared, {}).refusal(actor.source) from None
        except NoRoomError:
            raise no_room() from None
    if not is_new:
        return _replay(attempt, actor, intent)
    kill_point("service: intent in the audit")
    return Recorder(attempt, intent)


def _check_open_batches(intent: Intent, word: Word, source: Source | None) -> None:
    """Raise Refusal (409) if customers are part of a batch at the same action that runs or is paused."""
    target = intent["cluster_url"], intent["action_code"], intent["cids"]
    with drop_if_broken("jobs", raising=partial(_unavailable, "jobs")):
        batches = batches_sharing(*target)
    if uncovered := {batch: cids for batch, cids in batches.items() if not word.covers_batch(batch, cids)}:
        with drop_if_broken("audit", raising=partial(_unavailable, "audit")):
            attempts = attempts_sharing(*target, window_start())
        raise overlap_of(intent["cids"], attempts, uncovered).refusal(source)


@sensitive_variables("token")
def _carry_out(submission: Submission, recorder: Recorder, token: Token, on_accepted: Callable[[], None]) -> Result:
    """Steps 2 to 9. Whatever fails after TMS accepted, the result says accepted."""
    reply, called = None, False
    try:
        # Step 2. No statement runs in it before TMS has answered, so it holds no lock while TMS thinks.
        with transaction_around_call("jobs") as after_answer:
            kill_point("service: transaction open, nothing sent")
            called = True
            with others_first():
                reply = client.set_action(submission.cluster, submission.action_sent, submission.cids, token)
                kill_point("service: answered, nothing written")
                if reply.kind == Kind.ACCEPTED:
                    on_accepted()
                # Step 4 comes before the Job: killed in between, the audit says that a Job is owed.
                recorder.write_answer(reply)
                kill_point("service: answer in the audit")
            if reply.kind == Kind.ACCEPTED:
                job = recorder.new_job()
                recorder.insert_job(job, after_answer)  # step 6; leaving the block is step 7
        recorder.job_recorded = reply.kind == Kind.ACCEPTED
    except Exception as error:  # noqa: BLE001 (an accepted action must not end as an error, whatever the error is)
        connections["jobs"].close()  # nobody knows what state it is in; what follows takes a fresh one
        if reply is None:
            # The client lets no exception out, so something else broke; once it was called, TMS may have acted.
            recorder.write_failure(Kind.UNKNOWN if called else Kind.NOT_SENT, error)
        elif reply.kind == Kind.ACCEPTED:
            recorder.create_job_again(error)
        else:
            recorder.log_error(error)
    if recorder.job_recorded:
        kill_point("service: job committed")
        recorder.write_recorded()  # step 8
    kill_point("service: all written, not answered")
    result = recorder.result()
    if not recorder.is_finished():
        recorder.finish_later()
    return result
