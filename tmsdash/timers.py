"""Whether the commands that timers run still do: each records how it ended, and this module says which is late.

1. A timer is late when its last success is longer ago than twice its interval, and a few minutes at least.
2. One that never succeeded is late that long after its runs began to be recorded: after the installation, or after the
   upgrade that brought the table.
3. What is switched off (TIMER_INTERVALS, 0 seconds) is never late, nor is `reconcile` on a stand-by, which writes
   nothing.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import starmap
from typing import Any

from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import F, QuerySet, Value

from tmsdash.db import clock
from tmsdash.db.transactions import drop_if_broken, write_transaction
from tmsdash.models import TimerRun

RECONCILE, BACKUP, SEAL, VERIFY = NAMES = ("reconcile", "backup", "seal", "verify")
COMMANDS = {
    RECONCILE: "manage.py reconcile",
    BACKUP: "manage.py backup FOLDER",
    SEAL: "manage.py audit_seal",
    VERIFY: "manage.py audit_verify --jobs",
}
COLUMNS = ("name", "ended_at", "succeeded", "succeeded_at")  # of TimerRun
RECORDED_SINCE = ("tmsdash", "0007_timer_runs")  # the migration that made the table
GRACE = timedelta(minutes=5)
# `serve` reconciles every half minute: what would say the same again is not written again so soon.
SAME_AGAIN = timedelta(minutes=1)
WRITE_WAIT_S = 5.0  # for other writers

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TimerState:
    """How a timer is doing. `interval_s` is 0 if no run is expected; `age_s` is the seconds since its last success."""

    name: str
    interval_s: int
    last_success_at: datetime | None
    last_end_at: datetime | None
    has_failed: bool
    """Whether the run that ended last did not succeed."""
    age_s: float | None
    is_late: bool
    late_since: datetime | None
    """Since when it has not succeeded: its last success, or when its runs began to be recorded."""

    @property
    def command(self) -> str:
        return COMMANDS[self.name]

    @property
    def unit(self) -> str:
        """The name of its unit in deploy/."""
        return f"tms-dashboard-{self.name}.timer"

    @property
    def needs_attention(self) -> bool:
        """Whether somebody should look at it: it is late, or its last run failed, and runs are expected."""
        return self.interval_s > 0 and (self.is_late or self.has_failed)

    @property
    def in_words(self) -> str:
        """A sentence or two: how it is doing, and where to look if that is not well."""
        look = f"Run {self.command}, and look at {self.unit}."
        if self.is_late and self.last_success_at is None:
            return f"{self.name} has never succeeded since {_shown(self.late_since)}. {look}"
        if self.is_late and not self.age_s:
            ahead = f"succeeded at {_shown(self.last_success_at)}, which is yet to come: a clock was wrong, or is"
            return f"{self.name} {ahead}. {look}"
        if self.is_late:
            return f"{self.name} has not succeeded since {_shown(self.last_success_at)}. {look}"
        if self.has_failed:
            return f"{self.name} failed at {_shown(self.last_end_at)}. {look}"
        if self.last_success_at is None:
            return f"{self.name} has not run yet."
        return f"{self.name} succeeded at {_shown(self.last_success_at)}."


def record(name: str, succeeded: bool) -> None:
    """Remember that a run of a timer has ended. What it was stands even if that cannot be written: it is logged."""
    try:
        with drop_if_broken("default"):
            _write(name, succeeded)
    except (AnyDatabaseError, ValueError) as error:  # a database may hold what is no time
        word = "succeeded" if succeeded else "failed"
        logger.warning("[TIMER] %s %s, which could not be recorded: %s", name, word, error)


def _write(name: str, succeeded: bool) -> None:
    now = clock.now("default")
    last = TimerRun.objects.filter(name=name).first()
    if last and last.succeeded == succeeded and abs(now - last.ended_at) < SAME_AGAIN:
        return
    success = {"succeeded_at": now} if succeeded else {}
    with write_transaction("default", WRITE_WAIT_S):
        TimerRun.objects.update_or_create(name=name, defaults={"ended_at": now, "succeeded": succeeded, **success})


def states(rows: Iterable[tuple[Any, ...]] | None = None) -> list[TimerState]:
    """Return the state of each timer, in the order of NAMES, from these rows of `recorded`. Raises DatabaseError."""
    now = clock.now("default")
    if rows is None:
        runs, since = (part.values_list(*COLUMNS) for part in recorded())
        rows = runs.union(since, all=True)
    by_name = {run.name: run for run in starmap(TimerRun, rows)}
    first = by_name.get(RECORDED_SINCE[1])
    return [_state(name, by_name.get(name), first.ended_at if first else None, now) for name in NAMES]


def needing_attention(rows: Iterable[tuple[Any, ...]] | None = None) -> list[TimerState]:
    """Return the states of those timers that somebody should look at, as `states`."""
    return [state for state in states(rows) if state.needs_attention]


def recorded() -> tuple[QuerySet[Any], QuerySet[Any]]:
    """Return what has COLUMNS: the timers and, as if it were one, the migration since which runs are recorded."""
    app, migration = RECORDED_SINCE
    migrations = MigrationRecorder.Migration.objects.using("default").filter(app=app, name=migration)
    since = migrations.annotate(ended_at=F("applied"), succeeded=Value(True), succeeded_at=F("applied"))
    return TimerRun.objects.filter(name__in=NAMES), since


def interval_s(name: str) -> int:
    """Return how many seconds may pass between two runs; 0 if none is expected."""
    is_idle = settings.TMS_PASSIVE and name == RECONCILE
    return 0 if is_idle else int(settings.TIMER_INTERVALS[name])


def _state(name: str, run: TimerRun | None, recorded_since: datetime | None, now: datetime) -> TimerState:
    expected_s = interval_s(name)
    success = run.succeeded_at if run else None
    since = success or recorded_since
    allowed = max(timedelta(seconds=2 * expected_s), timedelta(seconds=expected_s) + GRACE)
    is_late = expected_s > 0 and since is not None and abs(now - since) > allowed
    return TimerState(
        name=name,
        interval_s=expected_s,
        last_success_at=success,
        last_end_at=run.ended_at if run else None,
        has_failed=run is not None and not run.succeeded,
        age_s=max(0.0, (now - success).total_seconds()) if success else None,
        is_late=is_late,
        late_since=since if is_late else None,
    )


def _shown(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "it was installed"
