"""What became of an attempt, as a value that pages, endpoints and commands show."""

import uuid
from dataclasses import dataclass, field
from typing import Any

from audit.bodies import OutcomeBody
from audit.choices import Outcome, Source
from audit.models import Attempt
from audit.selectors import outcome_body
from jobs.signatures import signed_jobs
from setactions.refusal import Refusal
from tmsdash.db.broken_rows import BrokenRowError


@dataclass(frozen=True, kw_only=True)
class Result:
    """The outcome of one attempt.

    `job_id` is set exactly when TMS accepted; `job_recorded` tells whether that Job can be read yet.
    `message` is what TMS or we say of it, `explanation` a plain sentence with the next step.
    """

    attempt_id: uuid.UUID
    outcome: Outcome
    message: str
    explanation: str
    http_status: int | None = None
    data: Any = None
    timed_out: bool = False
    retry_after_s: int | None = None
    job_id: uuid.UUID | None = None
    job_recorded: bool = False
    replayed: bool = False
    refusal_code: int | None = None
    errors: dict[str, list[str]] = field(default_factory=dict)
    duplicate_of: uuid.UUID | None = None
    overlap: dict[str, Any] | None = None


def result_of(attempt: Attempt, *, replayed: bool = False) -> Result:
    """Return what is recorded of `attempt`.

    The Job is the evidence: if it exists, with our signature, the attempt was accepted, even if the audit could not
    be written after the reply.
    """
    job = signed_jobs([attempt.attempt_id]).get(attempt.attempt_id) if attempt.is_open else None
    if job and not attempt.is_accepted:
        attempt.outcome = Outcome.ACCEPTED
    body = outcome_body(attempt)
    if job and not body:
        body = {"data": job.response_summary, "http_status": job.http_status}
    return make_result(attempt, body, job_recorded=job is not None or attempt.has_job, replayed=replayed)


def make_result(attempt: Attempt, body: OutcomeBody, *, job_recorded: bool, replayed: bool = False) -> Result:
    """Return the result that `attempt` and the body of the event behind its outcome amount to."""
    if attempt.outcome not in Outcome:
        raise BrokenRowError(f"The outcome of attempt {attempt.attempt_id} is none of ours.")
    outcome = Outcome(attempt.outcome)
    accepted = outcome.is_accepted or attempt.source == Source.LEGACY
    if outcome == Outcome.PENDING and not attempt.is_running:
        outcome = Outcome.UNKNOWN  # its server died in the call
    message = body.get("message") or outcome.label
    explanation = explain(outcome, message, body.get("http_status"))
    return Result(
        attempt_id=attempt.attempt_id,
        outcome=outcome,
        message=message,
        explanation=BEING_RECORDED if accepted and not job_recorded else explanation,
        http_status=body.get("http_status"),
        data=body.get("data"),
        timed_out=body.get("timed_out", False),
        retry_after_s=body.get("retry_after_s"),
        job_id=attempt.attempt_id if accepted else None,
        job_recorded=accepted and job_recorded,
        replayed=replayed,
        refusal_code=body.get("code"),
        errors=body.get("errors", {}),
    )


def being_sent(attempt_id: uuid.UUID) -> Result:
    """Return the result of an attempt that another thread carries out just now."""
    outcome = Outcome.PENDING
    explanation = explain(outcome, "", None)
    return Result(attempt_id=attempt_id, outcome=outcome, message=outcome.label, explanation=explanation)


def refused(attempt_id: uuid.UUID, refusal: Refusal) -> Result:
    """Return the result of what was stopped before anything was sent."""
    return Result(
        attempt_id=attempt_id,
        outcome=Outcome.REFUSED,
        message=refusal.message,
        explanation=explain(Outcome.REFUSED, refusal.message, None),
        retry_after_s=refusal.retry_after_s,
        refusal_code=refusal.code,
        errors=refusal.errors,
        duplicate_of=refusal.duplicate_of,
        overlap=refusal.overlap,
    )


BEING_RECORDED = (
    "TMS accepted the action; its job is still being recorded and will have this id. Do not send the list again: "
    "look at User Jobs in a minute."
)
_REJECTION_STEPS = {
    400: "TMS did not understand the request. Report it to whoever runs the cluster.",
    401: "TMS does not accept the token: it is wrong or has expired. Get a new one, then send the list again.",
    403: "This token is not allowed to do that. Get one that is, then send the list again.",
    404: "The cluster's gateway does not know TMS's address. Ask an administrator to check TMS_CLUSTERS.",
    413: "The list is too long for the cluster's gateway. Split it into smaller ones.",
    429: "The cluster asks for fewer calls. Wait a minute, then send the list again.",
}


def explain(outcome: Outcome, message: str, http_status: int | None) -> str:
    """Return a plain sentence on what happened, with the next step."""
    if outcome == Outcome.REFUSED:
        return outcome.meaning  # its message says what to change
    if outcome != Outcome.REJECTED:
        return outcome.explanation
    if http_status in _REJECTION_STEPS:
        return f"Nothing was applied. {_REJECTION_STEPS[http_status]}"
    if "not Ready" in message:
        return "The cluster's TMS is still starting; nothing was applied. Wait a few minutes, then send the list again."
    if "do not exist" in message:
        return (
            "TMS refused the whole list because it does not know the ids in its message; nothing was applied. "
            "Correct or remove these ids, then send the list again."
        )
    return outcome.explanation
