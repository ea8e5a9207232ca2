"""Several looks at once, none of which can keep the others, or whoever waits for them, longer than some seconds."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from django.db import connections

from tmsdash.db.sqlite_files import only_looking

T = TypeVar("T")


class _Task(threading.Thread, Generic[T]):
    """A thread that nobody waits for when the process ends: what it looks at may be frozen."""

    def __init__(self, call: Callable[[], T]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.result: T | None = None

    def run(self) -> None:
        with only_looking():
            try:
                self.result = self._call()
            finally:
                connections.close_all()


def in_parallel(calls: Sequence[Callable[[], T]], wait_s: float) -> list[T | None]:
    """Return what the calls return, in their order, None for those that have not ended within `wait_s` seconds."""
    tasks = [_Task(call) for call in calls]
    for task in tasks:
        task.start()
    until = time.monotonic() + wait_s
    for task in tasks:
        task.join(max(0.0, until - time.monotonic()))
    return [None if task.is_alive() else task.result for task in tasks]
