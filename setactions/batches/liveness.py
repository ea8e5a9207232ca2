"""Whether a runner is alive. Other hosts can only wait for the end of its lease; its own host sees it at once.

A run in the queue is no process: it is alive as long as its lease.
"""

import os
import socket
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db.models import Max

from jobs.models import Batch
from tmsdash.db import clock
from tmsdash.db.locks import hold, is_held

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


def lacks_worker(batch: Batch) -> bool:
    """Tell whether a batch in the queue should go on, and no worker has come to it lately.

    While a worker has a task of it, its lease is extended long before a tenth of that is over. Whoever else extends it
    leaves it shorter than that, see `queued`.
    """
    if not is_run(batch.runner) or batch.shown_state != Batch.State.RUNNING or batch.runner_until is None:
        return False
    return batch.runner_until < clock.now("jobs") + timedelta(seconds=settings.TMS_BATCH_LEASE_S * LEASE_OF_WORKERS)


def waits_for_worker_since(batch: Batch) -> datetime | None:
    """Return since when a batch in the queue has had no worker; None if it has one, or needs none."""
    if not lacks_worker(batch):
        return None
    since = begun_at_of(batch.runner)
    last = batch.chunks.filter(started_at__gt=since).aggregate(Max("started_at"), Max("ended_at"))
    for at in filter(None, last.values()):
        since = max(since, at)
    return since


class RunnerMark:
    """The name of a runner, and a locked file that shows that it is alive: the lock ends with its process."""

    def __init__(self) -> None:
        self._id = uuid.uuid4().hex
        self.name = f"{_host()}:{self._id}"
        self._descriptor: int | None = None

    def put_up(self) -> None:
        """Show from now on that the runner is alive. Raises OSError if the file cannot be made."""
        self._descriptor = hold(_path(self._id))

    def take_down(self) -> None:
        if self._descriptor is not None:
            _path(self._id).unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None


def is_dead(name: str) -> bool:
    """Tell whether a runner is known to be dead. Nothing is known here of runners on other hosts."""
    host, _, runner_id = name.rpartition(":")
    if not runner_id or host != _host():
        return False
    path = _path(runner_id)
    try:
        if is_held(path):
            return False
    except OSError:
        return not path.exists() and path.parent.exists()
    with suppress(OSError):
        path.unlink()
    return True


def has_living_runner(batch: Batch) -> bool:
    """Tell whether somebody carries `batch`, as far as can be seen from here."""
    return batch.has_runner and not is_dead(batch.runner)


def _host() -> str:
    # Two sites on one host, or one host name in two containers, do not see each other's files.
    folder = Path(settings.VAR_DIR).stat()
    return f"{socket.gethostname()[:40]}:{folder.st_dev:x}.{folder.st_ino:x}"


def _path(runner_id: str) -> Path:
    return Path(settings.VAR_DIR) / "runners" / runner_id
