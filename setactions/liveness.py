"""Whether a runner is alive. Other hosts can only wait for the end of its lease; its own host sees it at once."""

import os
import uuid
from contextlib import suppress
from pathlib import Path

from django.conf import settings

from jobs.models import AppRun, Batch
from tmsdash.db.locks import hold, is_held, place

# Why a runner ended that met an error of the program, which the log has whole.
FAILED = (
    "The dashboard itself failed; its log says why. Go on with it, and tell an administrator if that does not help."
)


class RunnerMark:
    """The name of a runner, and a locked file that shows that it is alive: the lock ends with its process."""

    def __init__(self) -> None:
        self._id = uuid.uuid4().hex
        self.name = f"{place()}:{self._id}"
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
    if not runner_id or host != place():
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


def has_living_runner(carried: Batch | AppRun) -> bool:
    """Tell whether somebody carries a batch or an app status run, as far as can be seen from here."""
    return carried.has_runner and not is_dead(carried.runner)


def _path(runner_id: str) -> Path:
    return Path(settings.VAR_DIR) / "runners" / runner_id
