"""Reads of jobs."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.db.models import Max, Q, QuerySet, TextField
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast

from audit.choices import Source
from audit.customer_index import asked_for, asking_for
from audit.models import Attempt, AttemptDay
from audit.tallies import END
from jobs.models import Job, JobCustomer, JobDay
from tmsdash.db.bulk import listed_uuids, parts
from tmsdash.db.day_ranges import keys_of_period, problems
from tmsdash.db.expressions import unindexed
from tmsdash.db.known_values import known_values
from tmsdash.db.plans import planned
from tmsdash.db.transactions import read_transaction
from tmsdash.downloads import IncompleteError

CLUSTERS_SHOWN = 100
MOST_BETWEEN = timedelta(days=1)
FEW = 2000  # attempts of a user
_MOST = (1 << 63) - 1
VERIFY_STEP = "Tell the admin: manage.py audit_verify --jobs says more."  # if rows are not as they were written


def jobs_present(job_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Job]:
    """Return those of `job_ids` whose job is recorded, each with its job (whose large JSON is read when asked for)."""
    return {job.job_id: job for part in parts(job_ids) for job in all_jobs().filter(job_id__in=part)}


def jobs_of(user: Any) -> QuerySet[Job]:
    """Return the user's own jobs, newest first, without their large JSON."""
    return all_jobs().filter(user_id=user.get_username())


def all_jobs() -> QuerySet[Job]:
    """Return every job, newest first, without their large JSON; check the caller's permission first."""
    return Job.objects.defer("stored_payload", "response_summary").order_by("-created_at", "-id")


def narrowed(jobs: QuerySet[Job], **conditions: Any) -> QuerySet[Job]:
    """Return those of `jobs`, newest first, that meet all conditions, through the index that leads to them fastest."""
    return planned(jobs.filter(**conditions), order=("created_at", "id"))


def jobs_of_customer(
    cid: str, conditions: Mapping[str, Any], columns: Sequence[str], behind: Any, count: int
) -> list[Any]:
    """Return these columns of the first `count` jobs of exactly this customer that meet conditions.

    They are in the order of their attempts, the newest first, which is that of the jobs unless one was recorded late,
    and follow the job `behind`, if one is given. Of a frequent customer, who has thousands, only as many attempts are
    looked at as it takes.
    """
    attempts, last = _attempts_for(conditions), _last_attempt(conditions, behind)
    jobs: list[Any] = []
    step = 4 * count
    while len(jobs) < count and last:
        of_customer = asking_for([cid]).filter(attempt__lte=last).values("attempt_id")
        part = attempts.filter(pk__in=of_customer).order_by("-pk").values_list("pk", "attempt_id")[:step]
        ids = {attempt_id: pk for pk, attempt_id in part}
        listed = listed_uuids(Job.objects.db, [attempt_id.hex for attempt_id in ids])
        rows = narrowed(all_jobs(), **conditions, job_id__in=listed).order_by().values_list(*columns, named=True)
        job_of = {row.job_id: row for row in rows}
        jobs += [job_of[attempt_id] for attempt_id in ids if attempt_id in job_of]
        last = min(ids.values()) - 1 if len(ids) == step else 0
        step *= 8
    return jobs[:count]


def _attempts_for(conditions: Mapping[str, Any]) -> QuerySet[Attempt]:
    """Return the attempts that meet what attempts and jobs have in common.

    Those of a user who has few are looked up; others are tested, because the first of them are enough.
    """
    shared = {name: conditions[name] for name in ("action_code", "cluster_url", "user_id") if name in conditions}
    attempts = Attempt.objects.filter(*unindexed(**shared))
    if user_id := shared.get("user_id"):
        of_user = Attempt.objects.filter(user_id=user_id)
        return attempts & of_user if of_user[:FEW].count() < FEW else attempts
    return attempts


def _last_attempt(conditions: Mapping[str, Any], behind: Any) -> int:
    """Return the key of the newest attempt whose job may follow a job and meet conditions on its time."""
    last = _MOST
    if behind:
        last = (Attempt.objects.filter(attempt_id=behind.job_id).values_list("pk", flat=True).first() or 1) - 1
    if until := conditions.get("created_at__lte"):  # an attempt is older than its job, up to what clocks are wrong
        moment = min(until, END - MOST_BETWEEN) + MOST_BETWEEN
        [(_, newest)] = keys_of_period(AttemptDay, Attempt, None, moment).children  # type: ignore[misc]
        last = min(last, int(newest))
    return last


def job_ids_of_customer(cid: str, *, may_be_chunks: bool = False) -> RawSQL:
    """Return the ids of the jobs of exactly this customer, as a subquery: of all attempts that the audit knows.

    Of a frequent customer these are thousands. They are fewer if those are enough that `may_be_chunks` of a batch,
    which no single request is.
    """
    attempts = Attempt.objects.filter(asked_for(cid)).order_by()
    if may_be_chunks:
        attempts = attempts.exclude(source__in=[source for source in Source if source.is_request])
    # As text: to make UUIDs of them takes longer than to find them.
    return listed_uuids(Job.objects.db, [*attempts.values_list(Cast("attempt_id", TextField()), flat=True)])


def older_than(job: Any) -> Q:
    """Return the condition for the jobs that stand behind `job` in a list, newest first."""
    # The first half lets an index find the place, the second leaves out what is as old but stands before it.
    return Q(created_at__lte=job.created_at) & (Q(created_at__lt=job.created_at) | Q(id__lt=job.pk))


def day_problems() -> Iterator[str]:
    """Yield a sentence about everything for which the admin's list of jobs leaves some out."""
    with read_transaction(Job.objects.db):
        yield from problems(JobDay, Job, Job.objects.aggregate(key=Max("pk"))["key"] or 0)


def known_clusters() -> list[str]:
    """Return the origins of the clusters that have jobs, in alphabetical order, the first hundred at most."""
    return known_values(Job, "cluster_url", CLUSTERS_SHOWN)


def may_view_all_jobs(user: Any) -> bool:
    """Tell whether `user` sees other users' jobs and batches."""
    return bool(user.has_perm("jobs.view_job"))


def may_view_job_of(user: Any, user_id: str) -> bool:
    """Tell whether `user` sees the jobs and batches of the user called `user_id`: their own, or all."""
    return user_id == user.get_username() or may_view_all_jobs(user)


def job_for(user: Any, job_id: uuid.UUID) -> Job | None:
    """Return the job; None if there is none, or `user` may not see it."""
    job = Job.objects.filter(job_id=job_id).first()
    return job if job and may_view_job_of(user, job.user_id) else None


def customers_of(job: Job) -> QuerySet[JobCustomer]:
    """Return the job's customers in the order in which they were given."""
    return job.customers


def all_cids_of(job: Job) -> list[str]:
    """Return the ids of a job's customers in order; raises IncompleteError unless they are as many as it counts."""
    cids = list(customers_of(job).values_list("cid", flat=True))
    count = sum(isinstance(cid, str) for cid in cids)
    if not count == len(cids) == job.customer_count:
        raise IncompleteError(
            f"The job counts {job.customer_count:,} customers, but {count:,} can be read: the list is not whole. "
            + VERIFY_STEP
        )
    return cids
