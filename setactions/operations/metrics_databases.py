"""What `/metrics` tells of the databases, read at each scrape: by indexes and tallies, however much there is.

A database that does not answer is told as such, and what the others hold all the same.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import Error as AnyDatabaseError
from django.db import connections
from prometheus_client.core import GaugeMetricFamily, Metric

from audit import figures, in_doubt, summary
from audit.choices import Outcome
from audit.selectors import count_open
from audit.tallies import MOMENT
from jobs.batches.selectors import backlog
from setactions.operations.metrics_streams import chain_metrics
from setactions.operations.notifications.outbox import failing
from tmsdash import timers
from tmsdash.days import first_moment
from tmsdash.db import clock
from tmsdash.db.sqlite_files import free_bytes
from tmsdash.db.transactions import drop_if_broken, ensure_own_file

PAST_KEPT_S = 600.0  # so long the attempts of before yesterday are not counted again; seldom one gets another outcome
MOST_IN_DOUBT = 100_000

logger = logging.getLogger(__name__)


def database_metrics() -> Iterator[Metric]:
    """Yield what each database holds, and whether it answers."""
    up = GaugeMetricFamily("tms_dashboard_database_up", "Whether the database answers.", labels=["database"])
    read = GaugeMetricFamily(
        "tms_dashboard_database_read_seconds", "How long reading these figures took.", labels=["database"]
    )
    free = GaugeMetricFamily(
        "tms_dashboard_database_disk_free_bytes", "Room on the disk of a SQLite database.", labels=["database"]
    )
    for alias, metrics_of in _READERS.items():
        begun = time.monotonic()
        metrics = _answer(alias, metrics_of)
        up.add_metric([alias], metrics is not None)
        read.add_metric([alias], time.monotonic() - begun)
        with suppress(OSError):  # its folder is out of reach, and so is it
            if (room := free_bytes(connections[alias])) is not None:
                free.add_metric([alias], room)
        yield from metrics or ()
    yield from (up, read, free)


def _answer(alias: str, metrics_of: Callable[[], Iterator[Metric]]) -> list[Metric] | None:
    """Return what a database tells; None if it does not answer, which the log then says."""
    try:
        with drop_if_broken(alias):
            ensure_own_file(connections[alias])  # an open connection would go on reading a file that was moved away
            return list(metrics_of())
    except (AnyDatabaseError, ValueError) as error:  # a database may hold what is no time
        logger.error("[METRICS] database %s does not answer: %s", alias, error)
        return None


def _of_audit() -> Iterator[Metric]:
    attempts = GaugeMetricFamily("tms_dashboard_attempts", "Attempts by outcome, of all time.", labels=["outcome"])
    counts = _outcomes()
    for outcome in Outcome:
        attempts.add_metric([outcome.value], counts[outcome.value])
    yield attempts
    now = clock.now("audit")
    open_count, open_since = count_open()
    yield _gauge("attempts_open", "Attempts without an outcome, or without the Job they are owed.", open_count)
    yield _gauge("attempts_open_oldest_seconds", "Age of the oldest of them, 0 if none.", _age_s(open_since, now))
    doubtful = in_doubt.count(None, MOST_IN_DOUBT)
    yield _gauge("attempts_in_doubt", "Attempts of which nobody knows whether TMS applied them.", doubtful)
    age_s = _age_s(figures.oldest_in_doubt() if doubtful else None, now)
    yield _gauge("attempts_in_doubt_oldest_seconds", "Age of the oldest of them, 0 if none.", age_s)
    yield from chain_metrics()


def _of_jobs() -> Iterator[Metric]:
    batches_now = backlog()
    batches = GaugeMetricFamily(
        "tms_dashboard_batches", "Batches by state; abandoned ones lost their runner.", labels=["state"]
    )
    for state in ("running", "paused", "abandoned", "ended"):
        batches.add_metric([state], getattr(batches_now, state))
    yield batches
    yield _gauge(
        "batch_backlog_customers", "Customers still to be sent of batches that have not ended.", batches_now.customers
    )
    yield _gauge("batch_backlog_chunks", "Calls that these take.", batches_now.chunks)


def _of_accounts() -> Iterator[Metric]:
    gauges = [
        GaugeMetricFamily(f"tms_dashboard_timer_{name}", documentation, labels=["timer"])
        for name, documentation in (
            ("last_success_age_seconds", "Since the timer's last success."),
            ("interval_seconds", "Between two runs, 0 if none is expected."),
            ("late", "Whether it is late."),
            ("failed", "Whether its last run failed."),
        )
    ]
    ages, intervals, late, failed = gauges
    for state in timers.states():
        if state.age_s is not None:
            ages.add_metric([state.name], state.age_s)
        intervals.add_metric([state.name], state.interval_s)
        late.add_metric([state.name], state.is_late)
        failed.add_metric([state.name], state.has_failed)
    yield from gauges
    notices = failing()
    yield _gauge("notices_failing", "Notices that could not be sent so far, and are sent again.", notices.count)
    yield _gauge("notices_failing_oldest_seconds", "Age of the oldest of them, 0 if none.", notices.oldest_s)


_READERS = {"default": _of_accounts, "jobs": _of_jobs, "audit": _of_audit}


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"tms_dashboard_{name}", documentation, value)


def _age_s(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since else 0.0


@dataclass
class _Past:
    """The attempts of a period that is over by outcome, and until when (monotonic clock) they are taken as they are."""

    period: tuple[datetime | None, datetime]
    counts: Counter[str]
    until: float


_past: dict[str, _Past] = {}


def _outcomes() -> Counter[str]:
    """Count attempts by outcome: those of yesterday and today now, those before, which are tallied, once in a while.

    Of the past, the months before this one and this month are counted again in turn, so that no scrape takes long.
    """
    day = first_moment(clock.now("audit").date() - timedelta(days=1))
    month = day.replace(day=1)
    periods = {"months": (None, month - MOMENT), "days": (month, day - MOMENT)}
    counts, is_turn_taken = figures.count_outcomes_since(day), False
    for name, period in periods.items():
        past = _past.get(name)
        is_due = past is not None and time.monotonic() >= past.until and not is_turn_taken
        if past is None or past.period != period or is_due:
            past = _past[name] = _Past(period, summary.count_outcomes(*period), time.monotonic() + PAST_KEPT_S)
            is_turn_taken = True
        counts += past.counts
    return counts


def forget() -> None:
    """Count all attempts anew at the next scrape."""
    _past.clear()


def expire() -> None:
    """Count the past again, in turn, from the next scrape on."""
    for past in _past.values():
        past.until = 0.0
