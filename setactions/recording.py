"""Steps 4 to 9 of a Set Action: what is written after TMS answered, and what happens when it cannot be written.

The rules:

- an accepted action never ends as an error, whatever fails here;
- all steps together wait a few seconds for locks; then the user is answered, and the rest is done later;
- whatever is written first, the Job or the answer, is enough to make the other one from;
- a Job that somebody else wrote under our id is never taken for ours.
"""

import contextvars
import logging
import threading
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import IntegrityError, connections
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from audit import services as audit
from audit.bodies import Intent, OutcomeBody, Recorded
from audit.choices import Kind
from audit.models import Attempt
from jobs import groups
from jobs import services as jobs
from jobs.signatures import job_is_signed
from jobs.stored import StoredJob, jobs_by_id
from setactions.proof.job_evidence import recorded_body
from setactions.results import Result, make_result
from setactions.tms.replies import Reply
from tmsdash.db.transactions import UNUSABLE_DATABASE, AfterAnswer, write_transaction
from tmsdash.server.histograms import OWN, calls_of
from tmsdash.text import one_line

logger = logging.getLogger(__name__)

AFTER_REPLY_WAIT_S = 4.0  # seconds that steps 4 to 8 together may wait for locks
AUDIT_SHARE_S = 1.5  # of these, for step 4: a locked audit must leave time for the Job
RETRY_PAUSE_S = 0.1
JOBS_UNUSABLE = "The jobs database could not be used, so nothing was sent. Try again, then tell the admin."
# Seconds between the tries of the background: soon after a short lock, for about an hour after a long one.
FINISH_PAUSES_S = (0.5, 1, 2, 4, 8, 15, *[30] * 120)


def log(attempt_id: uuid.UUID, message: str, *values: Any, level: int = logging.INFO) -> None:
    """Write one line that begins with [SET_ACTION] and names the attempt; `values` are kept to that line."""
    cleaned = [one_line(value) if isinstance(value, str) else value for value in values]
    line = f"[SET_ACTION] {message} attempt_id=%s"
    logger.log(level, line, *cleaned, attempt_id, extra={"attempt_id": attempt_id})


class ForeignJobError(Exception):
    """There is a Job with this attempt's id that this site did not write."""


class Budget:
    """Seconds that several steps share for waiting."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def left(self, at_most: float = float("inf")) -> float:
        """Return the seconds that are left, never less than 0."""
        return max(0.0, min(at_most, self._until - time.monotonic()))


class Recorder:
    """Writes down what became of one attempt whose INTENT is in the audit."""

    def __init__(self, attempt: Attempt, intent: Intent) -> None:
        self.attempt = attempt
        self._intent = intent
        self.budget = Budget(AFTER_REPLY_WAIT_S)
        self.job_recorded = False
        self._is_accepted = False
        self._recorded: Recorded = {}  # once the Job is there
        self._answer: OutcomeBody = {}  # of the event that the outcome rests on
        self._unwritten: list[audit.Event] = []  # what the audit has not taken yet

    @sensitive_variables("work")
    def timed(self, work: Callable[[], Result], begun: float) -> Result:
        """Do the work, and count how long the call took, and all else since the attempt `begun` (monotonic clock)."""
        result = work()
        duration_ms = self._answer.get("duration_ms")
        if duration_ms is not None:
            calls_of(self._intent["cluster_url"]).observe(duration_ms / 1000)
            OWN.observe(time.monotonic() - begun - duration_ms / 1000)
        return result

    def write_answer(self, reply: Reply) -> None:
        """Step 4. An audit that cannot be written no longer stops anything: the Job will be the evidence."""
        self.budget = Budget(AFTER_REPLY_WAIT_S)
        self._is_accepted = reply.kind == Kind.ACCEPTED
        self._answer = reply.body
        self._log_answer(reply)
        # Without a Job to come, the audit may use up all the time.
        share_s = AUDIT_SHARE_S if reply.kind == Kind.ACCEPTED else AFTER_REPLY_WAIT_S
        self._add_event(reply.kind, self._answer, self.budget.left(at_most=share_s))

    def write_failure(self, kind: Kind, error: Exception, unsent: str = JOBS_UNUSABLE) -> None:
        """There is no reply: NOT_SENT, with the reason, if the call could not even begin, else UNKNOWN."""
        self.log_error(error)
        message = unsent if kind == Kind.NOT_SENT else "There is no answer: the dashboard failed in the call."
        self._answer = {"http_status": None, "message": message}
        self._add_event(kind, self._answer, AFTER_REPLY_WAIT_S)

    def log_error(self, error: Exception) -> None:
        """Log an error that is reported nowhere else."""
        self._log("EXCEPTION: %s: %s", type(error).__name__, str(error), level=logging.ERROR)

    def new_job(self) -> StoredJob:
        """Return the Job that is owed, ready for step 6."""
        self._log("Creating job: action=%s, cid_count=%d", self._intent["action_name"], len(self._intent["cids"]))
        return jobs.new_job(
            jobs.AcceptedAttempt(
                attempt_id=self.attempt.attempt_id,
                user_id=self.attempt.user_id,
                intent=self._intent,
                answer=self._answer,
            )
        )

    def insert_job(self, job: StoredJob, after_answer: AfterAnswer) -> None:
        """Step 6, at the end of the transaction around the call."""
        groups.insert_job(job, after_answer, self.budget.left())
        self._recorded = recorded_body(job)

    def create_job_again(self, error: Exception) -> None:
        """Step 7's retries, each on a fresh connection, until the Job is there or the budget is spent."""
        failure: Exception | None = error
        if isinstance(error, IntegrityError):  # `reconcile` was quicker
            failure = self._try_job_again()
        while failure:
            self._log("WARNING: job creation failed: %s", str(failure), level=logging.WARNING)
            self._drop_answer_after(failure)
            wait_s = self.budget.left()
            if wait_s == 0:
                self._log("EXCEPTION: TMS accepted, but the job is not recorded yet", level=logging.CRITICAL)
                return
            time.sleep(min(RETRY_PAUSE_S, wait_s))  # a failure that comes at once (a full disk) must not spin
            failure = self._try_job_again()

    def _try_job_again(self) -> Exception | None:
        """Try to record the Job once more, on a fresh connection; return what went wrong."""
        connections["jobs"].close()
        try:
            with write_transaction("jobs", self.budget.left()):
                # A commit may have worked although its answer was lost, and `reconcile` may have been quicker.
                existing = jobs_by_id([self.attempt.attempt_id]).get(self.attempt.attempt_id.hex)
                if existing is None:
                    job = self.new_job()
                    jobs.insert_job(job)
                    self._recorded = recorded_body(job)
                elif job_is_signed(existing):
                    self._recorded = recorded_body(existing)
                else:
                    raise ForeignJobError("somebody else wrote a Job with this id, without our signature; remove it")
        except Exception as error:  # noqa: BLE001 (an accepted action must not end as an error)
            return error
        self.job_recorded = True
        return None

    def write_recorded(self) -> None:
        """Step 8. Nobody waits for it, unless step 4 could not write the answer, which is then written with it."""
        self._log("SUCCESS: Job created with job_id=%s", str(self.attempt.attempt_id))
        if self._unwritten:
            self._add_event(Kind.RECORDED, self._recorded, self.budget.left())
            return
        self._log("Logging audit: RECORDED")
        event = (Kind.RECORDED, self._recorded)
        on_failure = partial(self._record_later_still, event)
        audit.record_later(self.attempt.attempt_id, [event], on_failure=on_failure, known=self.attempt)
        audit.project(self.attempt, *event, timezone.now())  # in memory: the row moves with the event

    def _record_later_still(self, event: audit.Event, error: BaseException) -> None:
        """Finish what the audit did not take; in another thread, and this attempt may have been answered by now."""
        self._log("EXCEPTION: the audit did not take RECORDED: %s", str(error), level=logging.CRITICAL)
        unfinished = Recorder(self.attempt, self._intent)
        unfinished._unwritten, unfinished.job_recorded, unfinished._is_accepted = [event], True, True
        unfinished.finish_later()

    def is_finished(self) -> bool:
        """Tell whether all that is known has been written: the answer, and the Job if one is owed."""
        return not self._unwritten and not (self._is_accepted and not self.job_recorded)

    def finish_later(self) -> None:
        """Go on trying in the background, for as long as this process lives; after that `reconcile` does it."""
        try:
            run = contextvars.copy_context().run  # so that its lines in the log name the same request
            threading.Thread(target=run, args=(self._finish,), name="finish-recording", daemon=True).start()
        except RuntimeError as error:  # the system allows no more threads, or Python is ending
            self._log("EXCEPTION: %s; `reconcile` will finish this", str(error), level=logging.CRITICAL)

    def _finish(self) -> None:
        try:
            for pause_s in FINISH_PAUSES_S:
                time.sleep(pause_s)  # there is no event to wait for: another process holds the lock
                self.budget = Budget(AFTER_REPLY_WAIT_S)
                if self._is_accepted and not self.job_recorded:
                    failure = self._try_job_again()
                    if failure:
                        self._drop_answer_after(failure)
                    else:
                        self.write_recorded()
                elif self._unwritten:
                    self._write_events(self.budget.left())
                if self.is_finished():
                    return
        finally:
            connections.close_all()

    def result(self) -> Result:
        """Step 9. Where the audit lags behind, what is known here counts."""
        # Only in memory: the row is not saved, and moves when the audit takes the events.
        for kind, body in self._unwritten:
            audit.project(self.attempt, kind, body, timezone.now())
        return make_result(self.attempt, self._answer, job_recorded=self.job_recorded)

    def _drop_answer_after(self, error: Exception) -> None:
        """Do without TMS's JSON once it may be what a database rejects: TMS must not decide what is recorded."""
        # A locked or missing database, and a Job that exists already, have nothing to do with the JSON.
        if not isinstance(error, (*UNUSABLE_DATABASE, IntegrityError)):
            self._answer["data"] = None

    def _add_event(self, kind: Kind, body: OutcomeBody | Recorded, wait_s: float) -> None:
        self._unwritten.append((kind, body))
        self._write_events(wait_s)

    def _write_events(self, wait_s: float) -> None:
        kinds = ", ".join(unwritten.value for unwritten, _ in self._unwritten)
        self._log("Logging audit: %s", kinds)
        budget = Budget(wait_s)
        for known in (self.attempt, None):  # the second time on a fresh connection, and whatever is known here
            try:
                self.attempt = audit.record_events(
                    self.attempt.attempt_id, self._unwritten, wait_s=budget.left(), known=known
                )
            except Exception as error:  # noqa: BLE001 (the answer must still reach the user, and the Job its database)
                connections["audit"].close()
                self._log("EXCEPTION: the audit did not take %s: %s", kinds, str(error), level=logging.CRITICAL)
                self._drop_answer_after(error)
            else:
                self._unwritten = []
                return

    def _log_answer(self, reply: Reply) -> None:
        if reply.kind == Kind.ACCEPTED:
            self._log("ACCEPTED: http_status=%s, %s", reply.http_status, reply.message)
        elif reply.timed_out:
            self._log("TIMEOUT: %s: %s", reply.kind.value, reply.message, level=logging.WARNING)
        elif reply.http_status is None:
            self._log("REQUEST_ERROR: %s: %s", reply.kind.value, reply.message, level=logging.WARNING)
        elif reply.http_status in (200, 201) and reply.kind == Kind.REJECTED:
            self._log("INFO: API returned success=false, not creating job record. Error: %s", reply.message)
        else:
            word = f"FAILED: {reply.kind.value}: http_status=%s, %s"
            self._log(word, reply.http_status, reply.message, level=logging.WARNING)

    def _log(self, message: str, *values: Any, level: int = logging.INFO) -> None:
        log(self.attempt.attempt_id, message, *values, level=level)
