"""What was read of a made-up installation's clusters: states, what they confirm, an app status run, and a runbook."""

from collections.abc import Sequence
from datetime import datetime

from audit.choices import Action
from jobs.app_status.statuses import Status, health_of
from jobs.live.confirmations import keep_confirmations, states_of_jobs
from jobs.live.states import keep_whole
from jobs.models import (
    MAX_CUSTOMERS,
    AppRun,
    AppRunCustomer,
    AppStatus,
    Job,
    JobCustomer,
    LiveReading,
    RunbookEntry,
)
from setactions.devtools.demo_data.scenario import CLUSTERS, OPERATORS

JOBS_READ = 500  # the newest ones of a cluster, whose customers are all that its reading lists
JOBS_CHECKED = 50
CUSTOMERS_OF_RUN = 60
BEHIND = 10  # one customer in so many has not moved
APPS = ("alerts", "inventory", "reports")
REASON = "3 of 120 records were not migrated"


def add_live_rows(end: datetime) -> None:
    """Add what was read at `end`, for an operator. Raises DatabaseError."""
    for origin in CLUSTERS:
        jobs = list(Job.objects.filter(cluster_url=origin).order_by("-pk")[:JOBS_READ])
        if codes := _codes(origin, jobs):
            facts = {"cluster_url": origin, "user_id": OPERATORS[0], "began_at": end, "ended_at": end}
            keep_whole(LiveReading(asked=LiveReading.ALL, customer_count=len(codes), **facts), codes)
            checked = jobs[:JOBS_CHECKED]
            keep_confirmations(states_of_jobs(checked), checked)
            _add_run(origin, [*codes][:CUSTOMERS_OF_RUN], end)
    RunbookEntry.objects.create(
        pattern="records were not migrated",
        meaning="Some records could not be carried over.",
        next_step="Send the action again; if it fails twice, open a ticket with the customer id.",
    )


def _codes(origin: str, jobs: Sequence[Job]) -> dict[str, int]:
    """Return the code that the last of these jobs, the newest first, left for each customer; some have not moved."""
    if not jobs:
        return {}
    customers = JobCustomer.objects.filter(pk__gte=jobs[-1].pk * MAX_CUSTOMERS, job__cluster_url=origin)
    last = dict(customers.order_by("pk").values_list("cid", "job__action_code"))
    return {
        cid: code if number % BEHIND else max(Action.TRANS_BEGIN, code - 1)
        for number, (cid, code) in enumerate(last.items())
        if code is not None
    }


def _add_run(origin: str, cids: Sequence[str], at: datetime) -> None:
    run = AppRun.objects.create(
        user_id=OPERATORS[0],
        cluster_url=origin,
        selection="a pasted list",
        customer_count=len(cids),
        created_at=at,
        ended_at=at,
        state=AppRun.State.DONE,
    )
    for position, cid in enumerate(cids):
        statuses = [Status.FAILURE if position % BEHIND == place else Status.READY for place in range(len(APPS))]
        read = {"state": AppRunCustomer.State.READ, "health": health_of(statuses), "read_at": at}
        customer = AppRunCustomer.objects.create(run=run, position=position, cid=cid, **read)
        AppStatus.objects.bulk_create(
            AppStatus(
                customer=customer, run=run, app_name=name, status=status, reason=REASON * (status == Status.FAILURE)
            )
            for name, status in zip(APPS, statuses, strict=True)
        )
