"""Giving accepted attempts the Job that is missing, from what the audit holds of them."""

import logging
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.db import IntegrityError, transaction

from audit import services as audit
from audit.actors import Actor
from audit.bodies import OutcomeBody
from audit.choices import Evidence, Kind, Ruling
from audit.models import Attempt
from jobs.services import AcceptedAttempt, insert_job, new_job
from jobs.stored import StoredJob, jobs_by_id
from setactions.proof.job_evidence import FOUND_BY_JOB, History, problems_of, read_histories, recorded_body
from tmsdash.db.transactions import BUSY_TIMEOUT_S, UNUSABLE_DATABASE, write_transaction
from tmsdash.kill_points import kill_point
from tmsdash.text import one_line

logger = logging.getLogger(__name__)

ATTEMPTS_PER_TRANSACTION = 100
CUSTOMERS_PER_TRANSACTION = 10_000  # so that Set Actions beside it wait for moments only


@dataclass
class ReconcileReport:
    """What a run did, and what it left to others; `problems` are sentences on what did not work.

    `altered` are attempts and Jobs that are not as they were written; a person is needed for them, too. `schema`
    are sentences on what does not belong into the databases. `still_open` counts the attempts on which TMS may still be
    working; from `judged_from` on all of them can be judged. `from_future` counts those that a person has to look at
    because their time is still to come.
    """

    closed: int = 0
    recorded: int = 0
    still_open: int = 0
    judged_from: datetime | None = None
    from_future: int = 0
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


def roll_forward(attempts: Iterable[Attempt], actor: Actor, report: ReconcileReport) -> None:
    """Give each of these accepted attempts the Job that is missing, and close it."""
    for group in groups_of(attempts):
        try:
            _roll_forward_group(group, actor, report)
        except UNUSABLE_DATABASE:
            raise
        except Exception as error:  # noqa: BLE001 (one that cannot be recorded, for whatever reason, must not stop others)
            if len(group) > 1:
                for attempt in group:
                    roll_forward([attempt], actor, report)
            else:
                attempt_id, reason = group[0].attempt_id, f"{type(error).__name__}: {error}"
                report.not_recorded.append(attempt_id)
                report.note(f"The job of attempt {attempt_id} could not be recorded: {reason}", logging.ERROR)


def _roll_forward_group(group: Sequence[Attempt], actor: Actor, report: ReconcileReport) -> None:
    ids = [attempt.attempt_id for attempt in group]
    histories = read_histories(ids)
    jobs: dict[uuid.UUID, StoredJob] = {}
    altered: dict[uuid.UUID, list[str]] = {}
    with write_transaction("jobs", BUSY_TIMEOUT_S):
        # Looked for under the lock that inserting needs, so that on SQLite nobody can insert one in between.
        present = jobs_by_id(ids)
        for attempt_id in ids:
            job, history = present.get(attempt_id.hex), histories[attempt_id.hex]
            if problems := _problems(job, history):
                altered[attempt_id] = problems
            else:
                jobs[attempt_id] = job or _create_job(history.accepted(attempt_id), history)
        kill_point("reconcile: jobs inserted, not committed")
    # From here on the Jobs are the evidence: killed before the audit knows them, the next run finds and notes them.
    kill_point("reconcile: jobs committed")
    for attempt_id, problems in altered.items():
        report.note_altered(attempt_id, problems)
    if jobs:
        events = {attempt_id: _events_with_job(job, histories[attempt_id.hex]) for attempt_id, job in jobs.items()}
        after = audit.record_many(events, wait_s=BUSY_TIMEOUT_S, actor=actor)
        kill_point("reconcile: jobs noted in the audit")
        was_open = {attempt.attempt_id for attempt in group if attempt.is_open}
        report.recorded += len(jobs)
        report.closed += sum(attempt.attempt_id in was_open and not attempt.is_open for attempt in after)


def _problems(job: StoredJob | None, history: History) -> list[str]:
    """Return why an attempt's Job can neither be recorded as it is nor made from the audit."""
    if not history.entries and job is None:
        raise LookupError("its events are in an archive")
    if problems := [*history.signature_problems()]:
        return problems
    if job:
        return problems_of(job, history)
    if history.evidence() is None:
        return ["Its row in the audit says that it was accepted, and no entry says so."]
    return []


def _create_job(accepted: AcceptedAttempt, history: History) -> StoredJob:
    """Insert the Job of an attempt, and return it; one that somebody else inserted meanwhile is left alone."""
    job = new_job(accepted)
    if Kind.RECORDED in history and problems_of(job, history) and accepted.evidence == Evidence.REPLY:
        # The Job that was recorded did without TMS's JSON, because a database had not taken that.
        job = new_job(replace(accepted, answer={**accepted.answer, "data": None}))
    # What is made must pass the same test as what is found: nothing is written that would be called altered later.
    if problems := problems_of(job, history):
        raise ValueError(" ".join(problems))
    try:
        with transaction.atomic(using="jobs"):
            insert_job(job)
    except IntegrityError:
        # PostgreSQL only: a Set Action or another reconcile inserted the same job at the same time.
        rival = jobs_by_id([accepted.attempt_id]).get(accepted.attempt_id.hex)
        if rival is None or problems_of(rival, history):
            raise
        return rival
    return job


def _events_with_job(job: StoredJob, history: History) -> list[audit.Event]:
    """Return what the audit should hold of an attempt that has its Job: what it rests on, and that it is recorded."""
    recorded: audit.Event = (Kind.RECORDED, recorded_body(job, by="reconcile"))
    if history.evidence() is not None:
        return [recorded]
    kind = Evidence(job.evidence).kind
    answer: OutcomeBody = {"data": job.response_summary, "http_status": job.http_status, "message": FOUND_BY_JOB}
    if kind == Kind.DECIDED:
        answer["ruling"] = Ruling.APPLIED.value
    return [(kind, answer), recorded]


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
