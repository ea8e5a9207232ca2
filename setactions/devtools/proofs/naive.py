"""What is obvious, and fails: two orders of steps, and an audit that answers before it commits.

They show that the judge notices. Nothing else uses them.
"""

import uuid
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import TypeVar

from django.db import connections
from django.utils import timezone

from audit import services as audit
from audit.actors import Actor
from audit.chain import DATABASE as AUDIT
from audit.chain import ChainEnd
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
T = TypeVar("T")


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


class EarlyAnswers:
    """The audit's writer with one fault: it answers before it commits, and commits when the next one comes.

    `write` takes the place of audit.groups.write. Who is answered goes on in the meantime, and may die.
    """

    def __init__(self) -> None:
        self._end_of: Callable[[bool], None] = lambda is_alive: None

    def write(self, work: Callable[[ChainEnd], T], wait_s: float, *, alone: bool = False) -> T:
        """Do the work in a transaction of another thread, which outlives this answer."""
        self.end(is_alive=True)
        answer: Future[T] = Future()
        fate: Future[bool] = Future()
        thread = Thread(target=_answer_and_wait, args=(work, wait_s, answer, fate))
        thread.start()

        def end(is_alive: bool) -> None:
            fate.set_result(is_alive)
            thread.join()
            self._end_of = lambda is_alive: None

        self._end_of = end
        return answer.result()

    def end(self, *, is_alive: bool) -> None:
        """Commit what was answered; if the process is dead, it is gone."""
        self._end_of(is_alive)


def _answer_and_wait(work: Callable[[ChainEnd], T], wait_s: float, answer: "Future[T]", fate: "Future[bool]") -> None:
    try:
        with suppress(_Died), write_transaction(AUDIT, wait_s):
            end = ChainEnd()
            result = work(end)
            end.save()
            answer.set_result(result)
            if not fate.result():
                raise _Died
    except Exception as error:  # noqa: BLE001 (it is for the caller)
        if not answer.done():
            answer.set_exception(error)
    finally:
        connections.close_all()


class _Died(Exception):
    """Leads out of a transaction whose process is gone."""
