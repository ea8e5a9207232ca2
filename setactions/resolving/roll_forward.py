"""Giving accepted attempts the Job that is missing, from what the audit holds of them."""

import logging
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.db import IntegrityError, transaction

from audit import services as audit
from audit.actors import Actor
from audit.choices import Evidence, Kind, Ruling
from audit.models import Attempt
from jobs.models import Job
from jobs.services import insert_job, new_job
from jobs.stored import StoredJob, jobs_by_id, stored_job
from setactions.proof.job_evidence import FOUND_BY_JOB, Told, problems_of, read_told, recorded_body
from tmsdash.db.transactions import BUSY_TIMEOUT_S, UNUSABLE_DATABASE, write_transaction
from tmsdash.kill_points import kill_point
from tmsdash.text import one_line

logger = logging.getLogger(__name__)

ATTEMPTS_PER_TRANSACTION = 100
CUSTOMERS_PER_TRANSACTION = 10_000  # so that Set Actions beside it wait for moments only


@dataclass
class Report:
    """What a run did, and what it left to others; `problems` are sentences on what did not work.

    `altered` are attempts and Jobs that are not as they were written; a person is needed for them, too. `schema`
    are sentences on what does not belong into the databases.
    """

    closed: int = 0
    recorded: int = 0
    need_token: list[uuid.UUID] = field(default_factory=list)
    need_person: list[uuid.UUID] = field(default_factory=list)
    not_recorded: list[uuid.UUID] = field(default_factory=list)
    altered: list[uuid.UUID] = field(default_factory=list)
    schema: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def note_altered(self, attempt_id: uuid.UUID, problems: Iterable[str]) -> None:
        """Leave an attempt, or a Job, that is not as it was written to a person."""
        if attempt_id not in self.altered:
            self.altered.append(attempt_id)
            self.need_person.append(attempt_id)
            self.note(f"The job or the attempt {attempt_id} is not as it was written. {' '.join(problems)}")

    def note_schema(self, problem: str) -> None:
        """Leave something that does not belong into a database to a person."""
        self.schema.append(problem)
        self.note(problem)

    def note(self, problem: str, level: int = logging.WARNING) -> None:
        """Add a problem, and log it."""
        self.problems.append(problem)
        logger.log(level, "[RECONCILE] %s: %s", logging.getLevelName(level), one_line(problem))


def roll_forward(attempts: Iterable[Attempt], actor: Actor, report: Report) -> None:
    """Give each of these accepted attempts the Job that is missing, and close it."""
    for group in groups_of(attempts):
        try:
            _roll_forward_group(group, actor, report)
        except UNUSABLE_DATABASE:
            raise
        except Exception:  # noqa: BLE001 (one that cannot be recorded, whatever is wrong with it, must not stop the others)
            for attempt in group:
                _roll_forward_alone(attempt, actor, report)


def _roll_forward_alone(attempt: Attempt, actor: Actor, report: Report) -> None:
    try:
        _roll_forward_group([attempt], actor, report)
    except UNUSABLE_DATABASE:
        raise
    except Exception as error:  # noqa: BLE001 (as above)
        report.not_recorded.append(attempt.attempt_id)
        reason = f"{type(error).__name__}: {error}"
        report.note(f"The job of attempt {attempt.attempt_id} could not be recorded: {reason}", logging.ERROR)


def _roll_forward_group(group: Sequence[Attempt], actor: Actor, report: Report) -> None:
    ids = [attempt.attempt_id for attempt in group]
    told = read_told(ids)
    jobs: dict[uuid.UUID, StoredJob] = {}
    altered: dict[uuid.UUID, list[str]] = {}
    with write_transaction("jobs", BUSY_TIMEOUT_S):
        present = jobs_by_id(ids)
        for attempt_id in ids:
            job, of_attempt = present.get(attempt_id.hex), told[attempt_id.hex]
            if problems := _problems(job, of_attempt):
                altered[attempt_id] = problems
            else:
                jobs[attempt_id] = job or _create_job(attempt_id, of_attempt)
        kill_point("reconcile: jobs inserted, not committed")
    kill_point("reconcile: jobs committed")
    for attempt_id, problems in altered.items():
        report.note_altered(attempt_id, problems)
    if jobs:
        events = {attempt_id: _events_with_job(job, told[attempt_id.hex]) for attempt_id, job in jobs.items()}
        after = audit.record_many(events, wait_s=BUSY_TIMEOUT_S, actor=actor)
        kill_point("reconcile: jobs noted in the audit")
        was_open = {attempt.attempt_id for attempt in group if attempt.is_open}
        report.recorded += len(jobs)
        report.closed += sum(attempt.attempt_id in was_open and not attempt.is_open for attempt in after)


def _problems(job: StoredJob | None, told: Told) -> list[str]:
    """Return why an attempt's Job can neither be recorded as it is nor made from the audit."""
    if not told.entries and job is None:
        raise LookupError("its events are in an archive")
    if problems := [*told.problems()]:
        return problems
    if job:
        return problems_of(job, told)
    if told.evidence() is None:
        return ["Its row in the audit says that it was accepted, and no entry tells so."]
    return []


def _create_job(attempt_id: uuid.UUID, told: Told) -> StoredJob:
    """Insert the Job of an accepted attempt from what the audit holds; one that is there by now is left alone."""
    job = _planned(attempt_id, told)
    stored = stored_job(job, cids := told.body(Kind.INTENT)["cids"])
    if Kind.RECORDED in told and problems_of(stored, told) and job.evidence == Evidence.REPLY:
        # It was recorded without TMS's JSON, which a database did not take.
        job = _planned(attempt_id, told, without_answer=True)
        stored = stored_job(job, cids)
    if problems := problems_of(stored, told):
        raise ValueError(" ".join(problems))
    try:
        with transaction.atomic(using="jobs"):
            insert_job(job, cids)
    except IntegrityError:
        # PostgreSQL only: a Set Action or another reconcile inserted the same job at the same time.
        known = jobs_by_id([attempt_id]).get(attempt_id.hex)
        if known is None or problems_of(known, told):
            raise
        return known
    return stored


def _planned(attempt_id: uuid.UUID, told: Told, *, without_answer: bool = False) -> Job:
    """Return the Job that an attempt is due, made from the audit's entries alone: its row may have been changed."""
    evidence = told.evidence() or Evidence.REPLY
    kind = evidence.kind
    opening, answer, recorded = told.body(Kind.INTENT), told.body(kind), told.body(Kind.RECORDED)
    is_reply = evidence == Evidence.REPLY
    accepted_at = recorded.get("job_created_at") or told.entry(kind).time
    return new_job(
        job_id=attempt_id,
        user_id=told.entry(Kind.INTENT).user_id,
        batch_id=uuid.UUID(opening["batch_id"]) if opening["batch_id"] else None,
        **{name: opening[name] for name in ("action_code", "action_name", "cluster_url", "cids", "source")},
        request_payload={"action": opening["action_sent"], "cids": opening["cids"]},
        response_summary={} if without_answer else (answer.get("data") or {}) if is_reply else answer,
        http_status=answer.get("http_status") if is_reply else None,
        evidence=evidence,
        created_at=datetime.fromisoformat(accepted_at).replace(tzinfo=UTC),
    )


def _events_with_job(job: StoredJob, told: Told) -> list[audit.Event]:
    """Return what the audit should hold of an attempt that has its Job: what it rests on, and that it is recorded."""
    recorded: audit.Event = (Kind.RECORDED, recorded_body(job, by="reconcile"))
    if told.evidence() is not None:
        return [recorded]
    found = {"data": job.response_summary, "http_status": job.http_status, "message": FOUND_BY_JOB}
    kind = Evidence(job.evidence).kind
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
