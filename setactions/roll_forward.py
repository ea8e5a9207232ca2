"""Giving accepted attempts the Job that is missing, from what the audit holds of them."""

import logging
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, transaction

from audit import services as audit
from audit.models import ACCEPTED_OUTCOMES, Attempt, Kind, Outcome, Ruling
from audit.selectors import bodies_of
from jobs.models import Job
from jobs.selectors import jobs_present
from setactions.recording import record_job
from tmsdash.databases import BUSY_TIMEOUT_S, UNUSABLE_DATABASE, write_transaction
from tmsdash.kill_points import kill_point
from tmsdash.text import one_line

logger = logging.getLogger(__name__)

ATTEMPTS_PER_TRANSACTION = 100
CUSTOMERS_PER_TRANSACTION = 10_000  # so that Set Actions beside it wait for moments only

EVIDENCE = {
    Outcome.ACCEPTED: Job.Evidence.REPLY,
    Outcome.APPLIED: Job.Evidence.READ_BACK,
    Outcome.DECIDED_APPLIED: Job.Evidence.DECIDED,
}


@dataclass
class Report:
    """What a run did, and what it left to others; `problems` are sentences on what did not work."""

    closed: int = 0
    recorded: int = 0
    need_token: list[uuid.UUID] = field(default_factory=list)
    need_person: list[uuid.UUID] = field(default_factory=list)
    not_recorded: list[uuid.UUID] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def note(self, problem: str, level: int = logging.WARNING) -> None:
        """Add a problem, and log it."""
        self.problems.append(problem)
        logger.log(level, "[RECONCILE] %s: %s", logging.getLevelName(level), one_line(problem))


def roll_forward(attempts: Iterable[Attempt], actor: audit.Actor, report: Report) -> None:
    """Give each of these accepted attempts the Job that is missing, and close it."""
    for group in groups_of(attempts):
        try:
            _roll_forward_group(group, actor, report)
        except UNUSABLE_DATABASE:
            raise
        except Exception:  # noqa: BLE001 (one that cannot be recorded, whatever is wrong with it, must not stop the others)
            for attempt in group:
                _roll_forward_alone(attempt, actor, report)


def _roll_forward_alone(attempt: Attempt, actor: audit.Actor, report: Report) -> None:
    try:
        _roll_forward_group([attempt], actor, report)
    except UNUSABLE_DATABASE:
        raise
    except Exception as error:  # noqa: BLE001 (as above)
        report.not_recorded.append(attempt.attempt_id)
        reason = f"{type(error).__name__}: {error}"
        report.note(f"The job of attempt {attempt.attempt_id} could not be recorded: {reason}", logging.ERROR)


def _roll_forward_group(group: Sequence[Attempt], actor: audit.Actor, report: Report) -> None:
    bodies = bodies_of(group)
    with write_transaction("jobs", BUSY_TIMEOUT_S):
        there = jobs_present([attempt.attempt_id for attempt in group])
        for attempt, (opening, answer) in zip(group, bodies, strict=True):
            if attempt.attempt_id not in there:
                _create_job(attempt, opening, answer)
        kill_point("reconcile: jobs inserted, not committed")
    kill_point("reconcile: jobs committed")
    events = {attempt.attempt_id: _events_with_job(attempt, there.get(attempt.attempt_id)) for attempt in group}
    after = audit.record_many(events, wait_s=BUSY_TIMEOUT_S, actor=actor)
    kill_point("reconcile: jobs noted in the audit")
    was_open = {attempt.attempt_id for attempt in group if attempt.is_open}
    report.recorded += len(group)
    report.closed += sum(attempt.attempt_id in was_open and not attempt.is_open for attempt in after)


def _create_job(attempt: Attempt, opening: dict[str, Any], answer: dict[str, Any]) -> None:
    """Insert the Job of an accepted attempt from what the audit holds; one that is there by now is left alone."""
    if opening.get("archived"):
        raise LookupError("its events are in an archive")
    evidence = EVIDENCE[Outcome(attempt.outcome)]
    try:
        with transaction.atomic(using="jobs"):
            record_job(
                attempt,
                action_sent=opening["action_sent"],
                cids=opening["cids"],
                batch_id=uuid.UUID(opening["batch_id"]) if opening["batch_id"] else None,
                http_status=answer.get("http_status") if evidence == Job.Evidence.REPLY else None,
                summary=(answer.get("data") or {}) if evidence == Job.Evidence.REPLY else answer,
                evidence=evidence,
                accepted_at=attempt.decided_at,
            )
    except IntegrityError:
        # PostgreSQL only: a Set Action or another reconcile inserted the same job at the same time.
        if not jobs_present([attempt.attempt_id]):
            raise


def _events_with_job(attempt: Attempt, job: Job | None) -> list[audit.Event]:
    """Return what the audit should hold of an attempt that has its Job: what it rests on, and that it is recorded."""
    recorded: audit.Event = (Kind.RECORDED, {"job_id": str(attempt.attempt_id), "by": "reconcile"})
    if job is None or attempt.outcome in ACCEPTED_OUTCOMES:
        return [recorded]
    found = {"data": job.response_summary, "http_status": job.http_status, "message": "found by its job"}
    kind = {Job.Evidence.READ_BACK: Kind.APPLIED, Job.Evidence.DECIDED: Kind.DECIDED}.get(
        Job.Evidence(job.evidence), Kind.ACCEPTED
    )
    return [(kind, found | {"ruling": Ruling.APPLIED.value} if kind == Kind.DECIDED else found), recorded]


def groups_of(attempts: Iterable[Attempt]) -> Iterator[list[Attempt]]:
    """Cut `attempts` into groups for one transaction each."""
    group: list[Attempt] = []
    customers = 0
    for attempt in attempts:
        customers += attempt.customer_count
        if group and (len(group) == ATTEMPTS_PER_TRANSACTION or customers > CUSTOMERS_PER_TRANSACTION):
            yield group
            group, customers = [], attempt.customer_count
        group.append(attempt)
    if group:
        yield group
