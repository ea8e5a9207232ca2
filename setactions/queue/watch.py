"""A thread that looks after the runs in the queue whose tokens this process has."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from django.conf import settings
from django.db import connections

logger = logging.getLogger(__name__)

LOOKS_PER_LEASE = 20


class _Run(Protocol):
    @property
    def name(self) -> str: ...


Run = TypeVar("Run", bound=_Run)


class Watch(Generic[Run]):
    """Looks at each of its runs some times within a lease, for as long as there are any.

    `look` is given a run, and whether this process works for it just now; it returns the run that is to be looked at
    from now on, or None.
    """

    def __init__(self, look: Callable[..., Run | None]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._runs: dict[str, Run] = {}
        self._working: Counter[str] = Counter()
        self._thread: threading.Thread | None = None

    def keep(self, run: Run) -> None:
        """Look after a run from now on."""
        with self._lock:
            self._runs[run.name] = run
            if self._thread is None or not self._thread.is_alive():  # it is not in a process that was forked
                self._thread = threading.Thread(target=self._watch, name="queue-watch", daemon=True)
                self._thread.start()

    @contextmanager
    def working(self, run: Run) -> Iterator[None]:
        """Look after a run, for which this thread works during the block."""
        self.keep(run)
        with self._lock:
            self._working[run.name] += 1
        try:
            yield
        finally:
            with self._lock:
                self._working[run.name] -= 1
                self._working = +self._working  # without those that are zero

    def _watch(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(settings.TMS_BATCH_LEASE_S / LOOKS_PER_LEASE)
            with self._lock:
                runs = [*self._runs.values()]
                if not runs:
                    self._thread = None
                    return
            for run in runs:
                self._look_at(run)
            connections.close_all()

    def _look_at(self, run: Run) -> None:
        try:
            kept = self._look(run, is_working=self._working[run.name] > 0)
        except Exception as error:  # noqa: BLE001 (whatever it is, this is looked at again, and so are the others)
            logger.warning("[QUEUE] WARNING: the lease of %s could not be looked at: %s", run.name, error)
            return
        with self._lock:
            if kept is not run:
                self._runs.pop(run.name, None)
            if kept is not None:
                self._runs[kept.name] = kept
