"""Reads of app status runs."""

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Min, QuerySet, Value

from jobs.app_status.statuses import Status, status_of
from jobs.models import AppRun, AppRunCustomer, AppStatus
from jobs.selectors import may_view_all_jobs, may_view_job_of
from tmsdash.db.bulk import parts

State, Health = AppRunCustomer.State, AppRunCustomer.Health


def runs_for(user: Any, *, everybody: bool) -> QuerySet[AppRun]:
    """Return the user's own runs, or those of `everybody` for whom may see them, newest first."""
    of_all = everybody and may_view_all_jobs(user)
    return AppRun.objects.all() if of_all else AppRun.objects.filter(user_id=user.get_username())


def run_for(user: Any, run_id: uuid.UUID) -> AppRun | None:
    """Return the run; None if there is none, or `user` may not see it."""
    run = AppRun.objects.filter(run_id=run_id).first()
    return run if run and may_view_job_of(user, run.user_id) else None


def newest_run_of_job(user: Any, job_id: uuid.UUID) -> AppRun | None:
    """Return the newest run for a whole job that `user` may see, or None."""
    return runs_for(user, everybody=True).filter(job_id=job_id).first()


def next_customer(run: AppRun) -> AppRunCustomer | None:
    """Return who is to be read next: who was not read yet, in order, and then those whose read failed; or None."""
    waiting = AppRunCustomer.objects.filter(run=run, state=State.WAITING)
    fresh = waiting.filter(due_at=None).order_by("position").first()
    return fresh or waiting.order_by("due_at", "position").first()


@dataclass(frozen=True)
class Share:
    """How many customers of a run are in one condition; `code` is that of the filter that lists them."""

    code: str
    label: str
    count: int


@dataclass(frozen=True)
class Summary:
    """How many customers of a run are in which condition. The shares add up to the `customer_count` of the run."""

    shares: tuple[Share, ...]

    def count(self, *codes: str) -> int:
        """Return how many customers are in these conditions."""
        return sum(share.count for share in self.shares if share.code in codes)

    @property
    def read(self) -> int:
        """How many customers were read."""
        return self.count(*Health.values)

    @property
    def settled(self) -> int:
        """How many customers there is nothing left to read of: read, or could not be read."""
        return self.read + self.count(State.FAILED)


CONDITIONS = (*Health, State.WAITING, State.FAILED)


def summaries_of(runs: Sequence[AppRun]) -> list[Summary]:
    """Return how far each of some runs is, in their order."""
    rows = AppRunCustomer.objects.filter(run__in=runs).order_by().values("run_id", "state", "health")
    counts: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for row in rows.annotate(count=Count("pk")):
        counts[row["run_id"]][_condition(row["state"], row["health"])] += row["count"]
    return [_summary(counts[run.pk]) for run in runs]


def summary_of(run: AppRun) -> Summary:
    return summaries_of([run])[0]


def _condition(state: str, health: str) -> str:
    return health if state == State.READ else state


def _summary(counts: Counter[str]) -> Summary:
    return Summary(tuple(Share(code.value, str(code.label), counts[code.value]) for code in CONDITIONS))


def read_between(run: AppRun) -> tuple[datetime, datetime] | None:
    """Return when the first and the last customer of a run was read; None if nobody was."""
    read = AppRunCustomer.objects.filter(run=run, state=State.READ).aggregate(first=Min("read_at"), last=Max("read_at"))
    return (read["first"], read["last"]) if read["first"] else None


@dataclass(frozen=True)
class AppRow:
    """How many customers who were read have each status of one app; `missing` are those for whom it is not listed."""

    app_name: str
    counts: dict[Status, int]
    missing: int


def numbers_of(run: AppRun) -> tuple[Summary, list[AppRow]]:
    """Return how far a run is, with a row for each app in alphabetical order; each adds up to how many were read.

    One statement counts both, since a run goes on meanwhile: a customer who is read between two would be in one alone.
    """
    customers = AppRunCustomer.objects.filter(run=run).order_by().values("state", "health")
    apps = AppStatus.objects.filter(run=run).order_by().values("app_name", "status")
    count = {"is_app": Value(0), "count": Count("pk")}
    rows: Any = customers.annotate(**count).union(apps.annotate(**count | {"is_app": Value(1)}), all=True)
    of_customers: Counter[str] = Counter()
    of_apps: defaultdict[str, Counter[Status]] = defaultdict(Counter)
    for row in rows:  # under the names of the first part
        if row["is_app"]:
            of_apps[row["state"]][status_of(row["health"])] += row["count"]
        else:
            of_customers[_condition(row["state"], row["health"])] += row["count"]
    summary = _summary(of_customers)
    return summary, [
        AppRow(name, {status: counts[status] for status in Status}, summary.read - counts.total())
        for name, counts in sorted(of_apps.items())
    ]


def apps_of(customers: Iterable[AppRunCustomer]) -> dict[int, list[AppStatus]]:
    """Return the apps of some customers of one run, by the key of the customer, in the order in which TMS gave them."""
    apps: dict[int, list[AppStatus]] = defaultdict(list)
    for app in AppStatus.objects.filter(customer__in=[customer.pk for customer in customers]).order_by("pk"):
        apps[app.customer_id].append(app)
    return apps


def customers_with_apps(
    run: AppRun, customers: QuerySet[AppRunCustomer] | None = None
) -> Iterator[tuple[AppRunCustomer, list[AppStatus]]]:
    """Yield the customers of a run, or some of them, in order, each with their apps."""
    every = AppRunCustomer.objects.filter(run=run).order_by("position") if customers is None else customers
    for part in parts([*every]):
        apps = apps_of(part)
        for customer in part:
            yield customer, apps.get(customer.pk, [])
