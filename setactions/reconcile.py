"""Closing what was left open: jobs that are owed, and attempts whose outcome is in doubt.

What TMS is known to have accepted gets its Job from the audit alone. What nobody knows is read back
from TMS, with a token given for this purpose. All of it may run twice, at the same time, and beside
live traffic: a Job's id is unique, an event is written once, and what TMS answered outranks a reading.
"""

import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import IntegrityError, InterfaceError, OperationalError, connections, transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from audit import services as audit
from audit.models import ACCEPTED_OUTCOMES, IN_DOUBT_OUTCOMES, NOT_APPLIED_OUTCOMES, Attempt, Kind, Outcome, Ruling
from audit.selectors import attempts_touching, bodies_of, count_open, find_attempt, open_attempts, opening_body
from jobs.models import Job
from jobs.selectors import jobs_present
from setactions.clusters import Cluster, cluster_at
from setactions.readback import Finding, Reading, ReadingFailedError, States, Verdict, judge, read_states
from setactions.recording import record_job
from setactions.token import Token
from tmsdash.databases import BUSY_TIMEOUT_S, file_is_there, write_transaction
from tmsdash.kill_points import kill_point

logger = logging.getLogger(__name__)

ATTEMPTS_PER_TRANSACTION = 100
CUSTOMERS_PER_TRANSACTION = 10_000  # so that Set Actions beside it wait for moments only
UNUSABLE_DATABASE = (OperationalError, InterfaceError)  # a lock, a full disk, a lost connection: nothing else works

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


@sensitive_variables("token")
def reconcile(actor: audit.Actor, token: Token | None = None, *, full: bool = False) -> Report:
    """Close every open attempt that can be closed; those that are too young to be judged are left alone.

    `full` also compares all jobs with all attempts, as is due after a restored backup. Raises
    OperationalError or InterfaceError if a database cannot be used.
    """
    for alias in ("audit", "jobs"):
        if not file_is_there(connections[alias]):  # reading would make a new, empty one, in the middle of a restore
            raise OperationalError(f"the file of database {alias!r} is not there")
    report = Report()
    roll_forward(open_attempts().filter(job_owed=True), actor, report)
    in_doubt = _in_doubt()
    kill_point("reconcile: owed jobs recorded")
    with_job = jobs_present([attempt.attempt_id for attempt in in_doubt])
    # The Job is the evidence that TMS accepted: the audit could not be written after its answer.
    roll_forward((attempt for attempt in in_doubt if attempt.attempt_id in with_job), actor, report)
    _read_back([attempt for attempt in in_doubt if attempt.attempt_id not in with_job], token, actor, report)
    if full:
        _compare(actor, report)
    _log(report)
    return report


def roll_forward(attempts: Iterable[Attempt], actor: audit.Actor, report: Report) -> None:
    """Give each of these accepted attempts the Job that is missing, and close it."""
    for group in _groups(attempts):
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
        report.problems.append(f"The job of attempt {attempt.attempt_id} could not be recorded: {reason}")


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


def _groups(attempts: Iterable[Attempt]) -> Iterator[list[Attempt]]:
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


def _in_doubt() -> list[Attempt]:
    """Return the open attempts whose outcome is unknown and whose call is certainly over, oldest first."""
    now = timezone.now()
    return [a for a in open_attempts().filter(outcome__in=IN_DOUBT_OUTCOMES) if a.judged_from < now]


@sensitive_variables("token")
def _read_back(attempts: Sequence[Attempt], token: Token | None, actor: audit.Actor, report: Report) -> None:
    """Judge attempts by what their clusters show, in two readings an interval apart where that is needed."""
    by_cluster: defaultdict[Cluster, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        cluster = cluster_at(attempt.cluster_url)
        if cluster is None:  # no token helps
            report.need_person.append(attempt.attempt_id)
        elif token is None:
            report.need_token.append(attempt.attempt_id)
        else:
            by_cluster[cluster].append(attempt)
    if token is None:
        return
    unsettled = [
        finding for cluster, its in by_cluster.items() for finding in _read_cluster(cluster, its, {}, token, report)
    ]
    kill_point("reconcile: read once")
    again = _settle_all(unsettled, actor, report)
    if again:
        time.sleep(settings.TMS_READBACK_INTERVAL_S)
        first = {attempt.attempt_id: finding.readings[0] for attempt, finding in again}
        for cluster, its in by_cluster.items():
            rest = [attempt for attempt in its if attempt.attempt_id in first]
            if rest:
                second = _read_cluster(cluster, rest, first, token, report)
                kill_point("reconcile: read twice")
                # Nothing is read a third time: the clock was set back meanwhile, so the next run begins anew.
                report.need_token += [attempt.attempt_id for attempt, _ in _settle_all(second, actor, report)]


@sensitive_variables("token")
def _read_cluster(
    cluster: Cluster, attempts: Sequence[Attempt], first: dict[uuid.UUID, Reading], token: Token, report: Report
) -> list[tuple[Attempt, Finding]]:
    """Return what one more reading of the cluster says of these attempts; a failed one leaves them to a token."""
    found = []
    alone = list(attempts[0].customers.values_list("cid", flat=True)[:2]) if len(attempts) == 1 else ()
    try:
        states = read_states(cluster, alone, token)
    except ReadingFailedError as error:
        report.problems.append(str(error))
        report.need_token += [attempt.attempt_id for attempt in attempts]
        return []
    for attempt in attempts:
        try:
            found.append((attempt, _find(attempt, states, first.get(attempt.attempt_id))))
        except UNUSABLE_DATABASE:
            raise
        except Exception as error:  # noqa: BLE001 (as above)
            report.need_person.append(attempt.attempt_id)
            report.problems.append(f"Attempt {attempt.attempt_id} cannot be judged: {type(error).__name__}: {error}")
    return found


def _find(attempt: Attempt, states: States, first: Reading | None) -> Finding:
    cids = opening_body(attempt)["cids"]
    reading = states.of(cids)
    return judge(attempt, attempts_touching(attempt, cids), *([first, reading] if first else [reading]))


def _settle_all(
    found: Sequence[tuple[Attempt, Finding]], actor: audit.Actor, report: Report
) -> list[tuple[Attempt, Finding]]:
    """Write the verdicts down; return what has to be read again."""
    for attempt, finding in found:
        if finding.verdict == Verdict.UNCLEAR:
            report.need_person.append(attempt.attempt_id)
        else:
            settle(attempt, finding, actor, report)
    return [(attempt, finding) for attempt, finding in found if finding.verdict == Verdict.READ_AGAIN]


def settle(attempt: Attempt, finding: Finding, actor: audit.Actor, report: Report) -> None:
    """Write down a verdict of APPLIED or NOT_APPLIED, and the Job that the former makes due; others change nothing."""
    if finding.verdict not in (Verdict.APPLIED, Verdict.NOT_APPLIED):
        return
    kind = Kind[finding.verdict.name]
    body = {"message": finding.reason, "readings": [reading.as_json() for reading in finding.readings]}
    close(attempt, (kind, body), actor, report)


def close(attempt: Attempt, event: audit.Event, actor: audit.Actor, report: Report) -> None:
    """Add what a reading or a person says of an attempt in doubt, and the Job that this may make due."""
    settled = audit.settle(attempt.attempt_id, event, wait_s=BUSY_TIMEOUT_S, actor=actor)
    kill_point("reconcile: verdict written")
    report.closed += not settled.is_open
    if settled.job_owed:
        roll_forward([settled], actor, report)


def _compare(actor: audit.Actor, report: Report) -> None:
    """Record the jobs that the audit knows as recorded and that are not there; leave unexplained jobs to a person."""
    accepted = Attempt.objects.filter(outcome__in=ACCEPTED_OUTCOMES, is_open=False).order_by("id")
    for group in _groups(accepted.iterator(chunk_size=ATTEMPTS_PER_TRANSACTION)):
        there = jobs_present([attempt.attempt_id for attempt in group])
        missing = [attempt for attempt in group if attempt.attempt_id not in there]
        for attempt in missing:
            _warn("the job %s is recorded in the audit, but not there", attempt.attempt_id)
        roll_forward(missing, actor, report)
    # One query for each job: this runs after a restore, not every day.
    for job in Job.objects.order_by("id").defer("request_payload", "response_summary").iterator():
        attempt_of_job = find_attempt(job.job_id)
        if attempt_of_job and (attempt_of_job.is_open or attempt_of_job.outcome in ACCEPTED_OUTCOMES):
            continue
        _warn(
            "the job %s is there, but its attempt in the audit is: %s",
            job.job_id,
            attempt_of_job and attempt_of_job.outcome,
        )
        if attempt_of_job and attempt_of_job.outcome in NOT_APPLIED_OUTCOMES and job.evidence == Job.Evidence.REPLY:
            roll_forward([attempt_of_job], actor, report)  # what TMS answered beats what was read or decided
        else:
            report.need_person.append(job.job_id)


def _warn(message: str, *values: Any) -> None:
    logger.warning("[RECONCILE] WARNING: " + message, *values)  # noqa: G003 (constants)


def _log(report: Report) -> None:
    count, oldest = count_open()
    age_s = round((timezone.now() - oldest).total_seconds()) if oldest else 0
    for problem in report.problems:
        _warn("%s", problem)
    logger.info(
        "[RECONCILE] closed=%d, recorded=%d, need_token=%d, need_person=%d, open=%d, oldest_open_s=%d",
        *(report.closed, report.recorded, len(report.need_token), len(report.need_person), count, age_s),
    )
