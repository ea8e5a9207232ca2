"""Runs in the queue, which are no processes: one is alive as long as its lease. Whether workers work for it."""

import uuid
from datetime import UTC, datetime, timedelta

from django.conf import settings

from jobs.leases import Carried
from tmsdash.db import clock

_QUEUE = "queue:"
WAITS = "Waits for a worker"
START_WORKER = (
    "Start a worker with celery -A tmsdash worker; if some are running, their logs say why they do not work for it."
)
LEASE_OF_WORKERS = 0.9  # the share of a lease that is left while a worker has a task of its run


def new_run_name(begun_at: datetime) -> str:
    """Return the name under which a run in the queue holds its lease; it says when the run has begun."""
    return f"{_QUEUE}{round(begun_at.timestamp() * 1000):x}:{uuid.uuid4().hex}"


def is_run(name: str) -> bool:
    """Tell whether a runner is a run in the queue, which any worker works for."""
    return name.startswith(_QUEUE)


def begun_at_of(name: str) -> datetime:
    """Return when a run in the queue has begun, by the clock of the ledger; long ago if its name does not say."""
    _, *parts = name.split(":")
    return datetime.fromtimestamp(int(parts[0], 16) / 1000 if len(parts) == 2 else 0, UTC)


def is_of_same_start(name: str, other: str) -> bool:
    """Tell whether two runs were begun by the same press of a button, the one perhaps in the place of the other."""
    return is_run(name) and is_run(other) and begun_at_of(name) == begun_at_of(other)


def lacks_worker(carried: Carried) -> bool:
    """Tell whether a batch or app status run in the queue should go on, and no worker has come to it lately.

    While a worker has a task of it, its lease is extended long before a tenth of that is over. Whoever else extends it
    leaves it shorter than that, see `relay`.
    """
    if not is_run(carried.runner) or carried.runner_until is None:
        return False
    if carried.state != carried.State.RUNNING or not carried.has_runner:
        return False
    return carried.runner_until < clock.now("jobs") + timedelta(seconds=settings.TMS_BATCH_LEASE_S * LEASE_OF_WORKERS)
