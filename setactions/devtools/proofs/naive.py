"""The two obvious orders of steps, which fail: they show that the judge notices. Nothing else uses them."""

import uuid

from django.utils import timezone

from audit import services as audit
from audit.actors import Actor
from audit.choices import Kind
from jobs import services as jobs
from jobs.models import Job
from jobs.stored import DATABASE
from setactions import service
from setactions.payload import Submission
from setactions.tms import client
from setactions.token import Token
from tmsdash.db.transactions import write_transaction

WAIT_S = 5.0
NOBODY = Actor(user_id="naive")


def call_then_record(submission: Submission, token: Token) -> None:
    """Call TMS, and write down what became of it. Killed in between, nobody ever knows that there was a call."""
    reply = client.set_action(submission.cluster, submission.action_sent, submission.cids, token)
    attempt_id = _open(submission)
    audit.record_events(attempt_id, [(reply.kind, {"http_status": reply.http_status})], wait_s=WAIT_S)
    if reply.kind == Kind.ACCEPTED:
        _create_job(attempt_id, submission)
        audit.record_events(attempt_id, [(Kind.RECORDED, {})], wait_s=WAIT_S)


def record_then_call(submission: Submission, token: Token) -> None:
    """Write the Job down as if accepted, call TMS, and take the Job back if it was not. Killed, the Job stays."""
    attempt_id = _open(submission)
    _create_job(attempt_id, submission)
    reply = client.set_action(submission.cluster, submission.action_sent, submission.cids, token)
    events = [(reply.kind, {"http_status": reply.http_status})]
    if reply.kind == Kind.ACCEPTED:
        events.append((Kind.RECORDED, {}))
    elif reply.kind != Kind.UNKNOWN:  # it may have been applied: there is no right thing to do
        with write_transaction(DATABASE):
            Job.objects.filter(job_id=attempt_id).delete()
    audit.record_events(attempt_id, events, wait_s=WAIT_S)


def _open(submission: Submission) -> uuid.UUID:
    attempt_id = uuid.uuid4()
    intent = service.intent_of(NOBODY, submission, send_again=False, batch=None)
    audit.open_attempt(attempt_id, NOBODY, intent, accepted_since=timezone.now(), wait_s=WAIT_S)
    return attempt_id


def _create_job(attempt_id: uuid.UUID, submission: Submission) -> None:
    intent = service.intent_of(NOBODY, submission, send_again=False, batch=None)
    accepted = jobs.AcceptedAttempt(
        attempt_id=attempt_id, user_id=NOBODY.user_id, intent=intent, answer={"http_status": 200}
    )
    with write_transaction(DATABASE):
        jobs.create_job(accepted)
