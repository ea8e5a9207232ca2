"""Closes what was left open: Jobs that are owed, and attempts whose outcome is in doubt.

What TMS is known to have accepted gets its Job from the audit alone. What nobody knows is read back from TMS, with a
token given for this purpose. All of it may run twice, at the same time, and beside live traffic, because

- a Job's id is unique, and an event is written once;
- what TMS answered outranks a reading, and a reading outranks a person;
- nothing is judged before its call is certainly over.
"""

import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeVar

from django.conf import settings
from django.db import connections
from django.db.models import Model, QuerySet
from django.views.decorators.debug import sensitive_variables

from audit import services as audit
from audit.actors import Actor
from audit.choices import ACCEPTED_OUTCOMES, IN_DOUBT_OUTCOMES
from audit.models import Attempt
from audit.proof import append_only
from audit.proof.archives import ArchiveError
from audit.selectors import count_open, open_attempts, opening_body
from jobs.selectors import jobs_present
from jobs.signatures import signed_jobs
from setactions.proof.database_check import database_problems
from setactions.proof.job_comparison import JobComparison
from setactions.proof.job_evidence import doubt_problems
from setactions.proof.ledger_comparison import LedgerComparison
from setactions.reads import ReadingFailedError
from setactions.refusal import Refusal
from setactions.resolving.readback import WAIT_S, Judgement, Reading, Verdict, examine, read_states
from setactions.resolving.roll_forward import ATTEMPTS_PER_TRANSACTION, ReconcileReport, roll_forward
from setactions.tms.clusters import Cluster, cluster_at
from setactions.token import Token
from tmsdash.db import clock
from tmsdash.db.broken_rows import broken_rows_named
from tmsdash.db.transactions import BUSY_TIMEOUT_S, UNUSABLE_DATABASE, ensure_own_file
from tmsdash.kill_points import kill_point

logger = logging.getLogger(__name__)

Row = TypeVar("Row", bound=Model)

# Beyond the interval, so that a clock that is being adjusted does not make it shorter.
INTERVAL_MARGIN_S = 0.5


@sensitive_variables("token")
@broken_rows_named()
def reconcile(actor: Actor, token: Token | None = None, *, full: bool = False) -> ReconcileReport:
    """Close every open attempt that can be closed; those that are too young to be judged are left alone, and counted.

    `full` also compares all jobs with all attempts, as is due after a restored backup. Raises
    one of UNUSABLE_DATABASE if a database cannot be used.
    """
    for alias in ("audit", "jobs"):
        ensure_own_file(connections[alias])  # of a file that is gone, a connection reads on
    report = ReconcileReport()
    for problem in [*database_problems(full=full), *append_only.problems(connections["audit"])]:
        report.note_schema(problem)
    # What needs no token comes first: it is closed even if every reading fails.
    roll_forward(open_attempts().filter(job_owed=True), actor, report)
    in_doubt = _in_doubt(report)
    kill_point("reconcile: owed jobs recorded")
    with_job = jobs_present([attempt.attempt_id for attempt in in_doubt])
    # A Job that fits is the evidence that TMS accepted: the audit could not be written after TMS's answer.
    roll_forward((attempt for attempt in in_doubt if attempt.attempt_id in with_job), actor, report)
    without_job = [attempt for attempt in in_doubt if attempt.attempt_id not in with_job]
    _read_back([attempt for attempt in without_job if _is_as_written(attempt, report)], token, actor, report)
    if full:
        _compare(actor, report)
    _log(report)
    return report


def _in_doubt(report: ReconcileReport) -> list[Attempt]:
    """Return the open attempts whose outcome is unknown and whose call is certainly over, oldest first.

    The report says how many are too young for that, and leaves those from the future to a person.
    """
    now, in_doubt = clock.now("audit"), []
    for attempt in open_attempts().filter(outcome__in=IN_DOUBT_OUTCOMES):
        judged_from = attempt.judged_from
        if judged_from < now:
            in_doubt.append(attempt)
            continue
        if problem := attempt.clock_problem:
            report.from_future += 1
            report.need_person.append(attempt.attempt_id)
            report.note(f"Attempt {attempt.attempt_id} is open. {problem} Set the clock right.")
        else:
            report.still_open += 1
            report.judged_from = max(judged_from, report.judged_from or judged_from)
    return in_doubt


def _is_as_written(attempt: Attempt, report: ReconcileReport) -> bool:
    """Tell whether an attempt in doubt is what the audit's entries say; one that is not is left to a person."""
    if problems := doubt_problems(attempt.attempt_id):
        report.note_altered(attempt.attempt_id, problems)
    return not problems


@sensitive_variables("token")
def _read_back(attempts: Sequence[Attempt], token: Token | None, actor: Actor, report: ReconcileReport) -> None:
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
    judged = [
        pair for cluster, group in by_cluster.items() for pair in _read_cluster(cluster, group, {}, token, report)
    ]
    kill_point("reconcile: read once")
    unproven = _write_verdicts(judged, actor, report)
    if not unproven:
        return
    first_readings = {attempt.attempt_id: judgement.readings[0] for attempt, judgement in unproven}
    # Only time that passed between two readings makes them prove anything; all clusters wait together.
    time.sleep(settings.TMS_READBACK_INTERVAL_S + INTERVAL_MARGIN_S)
    for cluster, group in by_cluster.items():
        rest = [attempt for attempt in group if attempt.attempt_id in first_readings]
        if rest:
            judged = _read_cluster(cluster, rest, first_readings, token, report)
            kill_point("reconcile: read twice")
            # Nothing is read a third time: if two readings do not lie apart, the clock was set back between them, and
            # the next run begins anew.
            report.need_token += [attempt.attempt_id for attempt, _ in _write_verdicts(judged, actor, report)]


@sensitive_variables("token")
def _read_cluster(
    cluster: Cluster,
    attempts: Sequence[Attempt],
    first_readings: dict[uuid.UUID, Reading],
    token: Token,
    report: ReconcileReport,
) -> list[tuple[Attempt, Judgement]]:
    """Return what one more reading of the cluster says of these attempts; a failed one leaves them to a token."""
    # A single customer can be asked for by its id; for more, one reading of all serves all attempts.
    single = opening_body(attempts[0])["cids"][:2] if len(attempts) == 1 else ()
    try:
        states = read_states(cluster, single, token, wait_s=WAIT_S)
    except (ReadingFailedError, Refusal) as error:
        report.note(str(error))
        report.need_token += [attempt.attempt_id for attempt in attempts]
        return []
    judged = []
    for attempt in attempts:
        try:
            cids = opening_body(attempt)["cids"]
            judged.append((attempt, examine(attempt, cids, states, first_readings.get(attempt.attempt_id))))
        except UNUSABLE_DATABASE:
            raise
        except Exception as error:  # noqa: BLE001 (one that cannot be judged must not stop the others)
            report.need_person.append(attempt.attempt_id)
            report.note(f"Attempt {attempt.attempt_id} cannot be judged: {type(error).__name__}: {error}")
    return judged


def _write_verdicts(
    judged: Sequence[tuple[Attempt, Judgement]], actor: Actor, report: ReconcileReport
) -> list[tuple[Attempt, Judgement]]:
    """Write down what is proven, leave what is unclear to a person, and return what has to be read again."""
    for attempt, judgement in judged:
        if judgement.verdict == Verdict.UNCLEAR:
            report.need_person.append(attempt.attempt_id)
        else:
            write_verdict(attempt, judgement, actor, report)
    return [(attempt, judgement) for attempt, judgement in judged if judgement.verdict == Verdict.READ_AGAIN]


def write_verdict(attempt: Attempt, judgement: Judgement, actor: Actor, report: ReconcileReport) -> None:
    """Write down a verdict of APPLIED or NOT_APPLIED, and the Job that the former makes due; others change nothing."""
    kind = judgement.verdict.kind
    if kind is not None:
        readings = [reading.as_json() for reading in judgement.readings]
        close(attempt, (kind, {"message": judgement.reason, "readings": readings}), actor, report)


def close(attempt: Attempt, event: audit.Event, actor: Actor, report: ReconcileReport) -> None:
    """Add what a reading or a person says of an attempt in doubt, and the Job that this may make due."""
    # Reading took time. A Job that was recorded meanwhile is stronger evidence than anything that was read.
    if signed_jobs([attempt.attempt_id]):
        roll_forward(open_attempts().filter(pk=attempt.pk), actor, report)
        return
    if not _is_as_written(attempt, report):
        return
    closed, is_new = audit.close_doubt(attempt.attempt_id, event, wait_s=BUSY_TIMEOUT_S, actor=actor)
    kill_point("reconcile: verdict written")
    report.closed += is_new and not closed.is_open
    if closed.job_owed:
        roll_forward([closed], actor, report)


def _compare(actor: Actor, report: ReconcileReport) -> None:
    """Record the jobs that the audit knows as recorded and that are not there; name those that do not fit."""
    for group in _pages(Attempt.objects.filter(outcome__in=ACCEPTED_OUTCOMES, is_open=False)):
        recorded = jobs_present([attempt.attempt_id for attempt in group])
        missing = [attempt for attempt in group if attempt.attempt_id not in recorded]
        for attempt in missing:
            report.note(f"The job {attempt.attempt_id} is recorded in the audit, but missing; it is recorded again.")
        roll_forward(missing, actor, report)
    for batch_id, problem in [*LedgerComparison().problems()]:
        report.note_altered(batch_id, [problem])
    comparison = JobComparison()
    try:
        problems = [*comparison.problems()]  # nothing can be written while it reads
    except ArchiveError as error:
        report.note_schema(f"No job could be compared with the audit. {error} Run manage.py audit_verify --jobs.")
        return
    for job_id, problem in problems:
        if job_id not in report.not_recorded:
            report.note_altered(job_id, [problem])
    # What TMS answered beats what was read or decided.
    roll_forward(Attempt.objects.filter(attempt_id__in=comparison.unrecorded), actor, report)


def _pages(rows: QuerySet[Row]) -> Iterator[list[Row]]:
    """Yield all rows in groups. No read stays open between them: SQLite could not write after it then."""
    last = 0
    while page := list(rows.filter(pk__gt=last).order_by("pk")[:ATTEMPTS_PER_TRANSACTION]):
        yield page
        last = page[-1].pk


def _log(report: ReconcileReport) -> None:
    count, oldest = count_open()
    age_s = max(0, round((clock.now("audit") - oldest).total_seconds())) if oldest else 0
    logger.info(
        "[RECONCILE] closed=%d, recorded=%d, need_token=%d, need_person=%d, open=%d, open_attempts=%d, "
        "oldest_open_s=%d",
        *(report.closed, report.recorded, len(report.need_token), len(report.need_person), report.still_open),
        *(count, age_s),
    )
