"""What the page of an app status run shows, as values: templates only put them in their places."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from math import ceil

from django.urls import reverse
from django.utils.http import urlencode

from jobs.app_status.filters import MISSING, CustomerFilters
from jobs.app_status.runbook import Runbook
from jobs.app_status.selectors import AppRow, Summary
from jobs.app_status.statuses import Status, status_of
from jobs.live.bar import Bar, BarPart
from jobs.models import AppRun, AppRunCustomer, AppStatus
from setactions.pages.explanations import Explanation, explained
from setactions.queue.liveness import START_WORKER, WAITS, lacks_worker
from setactions.reads import background_reads_per_minute
from tmsdash.web.clusters import cluster_name
from tmsdash.web.paging import Page
from tmsdash.web.parts import Column

State = AppRun.State
ROWS_SHOWN = 200  # apps of the matrix
EVERY_S, EVERY_S_PAUSED = 5, 15  # how often a page asks how its run stands
LABELS = {status.value: str(status.label) for status in Status} | {MISSING: "Not listed"}
CHIPS = {  # the class of the sign that stands before a word
    Status.READY: "accepted",
    Status.FAILURE: "failed",
    Status.TRANSITING: "running",
    Status.INAPPLICABLE: "not_sent",
    Status.UNKNOWN: "unknown",
}
CONDITION_CHIPS = {
    "ready": "accepted",
    "failure": "failed",
    "unsettled": "running",
    "waiting": "waiting",
    "failed": "unknown",
}
UNEVENTFUL = (Status.READY, Status.INAPPLICABLE)


@dataclass(frozen=True)
class RunLine:
    """A run as a line of the list of runs."""

    run: AppRun
    summary: Summary

    @property
    def failing(self) -> int:
        """How many customers have an app that failed."""
        return self.summary.count(AppRunCustomer.Health.FAILURE)

    @property
    def css(self) -> str:
        is_partly = self.run.state == State.DONE and self.summary.count("failed")
        return f"{self.run.state} partly" if is_partly else str(self.run.state)

    @property
    def state(self) -> str:
        """What it does, in words."""
        return WAITS if lacks_worker(self.run) else State(self.run.state).label


@dataclass(frozen=True)
class AppLine:
    """An app of a customer with what the runbook says of its reason, or of its status if it has none."""

    app: AppStatus
    explanation: Explanation | None

    @property
    def css(self) -> str:
        return CHIPS[status_of(self.app.status)]


@dataclass(frozen=True)
class CustomerLine:
    """A customer of a run with those apps that are of interest."""

    customer: AppRunCustomer
    apps: Sequence[AppLine]

    @property
    def label(self) -> str:
        return self.customer.get_health_display() or self.customer.get_state_display()

    @property
    def css(self) -> str:
        return CONDITION_CHIPS[self.customer.health or self.customer.state]


def css_of(status: str) -> str:
    """Return the class for the colour of a status."""
    return f"app-{status.lower()}"


@dataclass(frozen=True, kw_only=True)
class RunView(RunLine):
    """A run on its own page, for a user who `may_control` runs, and who may be its owner.

    `error` is what did not work. `lines` are the customers of a `page` that match the `filters`.
    """

    matrix: Sequence[AppRow]
    read_between: tuple[datetime, datetime] | None
    filters: CustomerFilters
    page: Page[AppRunCustomer]
    lines: Sequence[CustomerLine] = ()
    matching: int = 0
    may_control: bool = False
    is_owner: bool = False
    error: str = ""

    @property
    def cluster_name(self) -> str:
        return cluster_name(self.run.cluster_url)

    @property
    def is_unfinished(self) -> bool:
        return self.run.state in (State.RUNNING, State.PAUSED)

    @property
    def start_worker(self) -> str:
        """What is to be done if it waits for a worker; else empty."""
        return START_WORKER if lacks_worker(self.run) else ""

    @property
    def left(self) -> int:
        """How many customers a runner that goes on would read."""
        return self.summary.count(AppRunCustomer.State.WAITING, AppRunCustomer.State.FAILED)

    @property
    def may_go_on(self) -> bool:
        """Whether the user can go on with the run, which needs a token."""
        return self.may_control and self.is_owner and not self.is_unfinished and bool(self.left)

    @property
    def minutes_left(self) -> int:
        """How many minutes those who were not read yet take at least."""
        return ceil(self.summary.count(AppRunCustomer.State.WAITING) / background_reads_per_minute())

    @property
    def reads_per_minute(self) -> int:
        return background_reads_per_minute()

    @property
    def title(self) -> str:
        return f"App status on {self.cluster_name}"

    @property
    def percent(self) -> int:
        """Which share of the customers is dealt with, read or not; 100 only if it is all of them."""
        return 100 * self.summary.settled // max(1, self.run.customer_count)

    @property
    def page_title(self) -> str:
        """The title of the page, which is all that others see of it in a row of tabs."""
        state = State(self.run.state)
        begin = f"{self.percent} %" if state == State.RUNNING else state.label.lower()
        return f"App status {begin} – {self.cluster_name}, {self.run.selection}"

    @property
    def announcement(self) -> str:
        """What a screen reader says: it changes with each tenth of the customers, and with what the run does."""
        return f"{self.headline}. {self.percent // 10 * 10} % read."

    @property
    def every_s(self) -> int | None:
        """After how many seconds its page asks how it stands; None if it goes on no more."""
        if not self.is_unfinished:
            return None
        return EVERY_S if self.run.state == State.RUNNING else EVERY_S_PAUSED

    @property
    def call(self) -> str:
        """Why somebody should look at it now; "" while it goes on by itself."""
        return "" if self.run.state == State.RUNNING else self.headline

    @property
    def headline(self) -> str:
        if self.run.state != State.DONE:
            return self.state
        return "Done: not every customer could be read" if self.summary.count("failed") else "Done"

    @cached_property
    def health(self) -> Bar:
        """How many customers are in which condition."""
        return Bar([self._part(share.label, share.count, health=share.code) for share in self.summary.shares])

    @cached_property
    def apps(self) -> Sequence[tuple[str, Bar]]:
        """The matrix: each app with its customers by status."""
        return [(row.app_name, Bar([*self._parts(row)])) for row in self.matrix[:ROWS_SHOWN]]

    @property
    def apps_left_out(self) -> int:
        return max(0, len(self.matrix) - ROWS_SHOWN)

    @property
    def live_address(self) -> str:
        """Where the part of the page is that changes."""
        return reverse("app_run_progress", args=[self.run.run_id])

    @property
    def statuses(self) -> Sequence[Column]:
        """The columns of the matrix."""
        return [Column(label, "number") for label in LABELS.values()]

    def _parts(self, row: AppRow) -> Iterator[BarPart]:
        for status, count in row.counts.items():
            yield self._part(LABELS[status], count, app=row.app_name, status=status.value)
        yield self._part(LABELS[MISSING], row.missing, app=row.app_name, status=MISSING)

    def _part(self, label: str, count: int, **query: str) -> BarPart:
        address = f"{reverse('app_run', args=[self.run.run_id])}?{urlencode(query)}#customers-title"
        return BarPart(label, count, css_of(query.get("health") or query["status"]), address)


def lines_of(
    customers: Sequence[AppRunCustomer],
    apps: dict[int, list[AppStatus]],
    filters: CustomerFilters,
    runbook: Runbook,
) -> list[CustomerLine]:
    """Return a line for each customer, with the apps that the filters ask for, or else those with something to say."""

    def is_shown(app: AppStatus) -> bool:
        return filters.shows(app) if filters.asks_for_apps else status_of(app.status) not in UNEVENTFUL

    return [
        CustomerLine(
            customer,
            [
                AppLine(app, explained(runbook, app.reason or app.status))
                for app in apps.get(customer.pk, ())
                if is_shown(app)
            ],
        )
        for customer in customers
    ]
