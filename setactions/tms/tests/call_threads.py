"""The threads of calls, watched by a test."""

import threading
from typing import Any

from setactions.tms import call_threads


def _all():
    return {thread for thread in threading.enumerate() if thread.name == call_threads.NAME}


class CallThreads(list[Any]):
    """None waits when the test begins; those that were there before are left alone."""

    def __init__(self, monkeypatch):
        super().__init__()
        self._before = _all()
        self._changed = threading.Condition()
        monkeypatch.setattr(call_threads, "_idle", self)

    def append(self, queue):
        with self._changed:
            super().append(queue)
            self._changed.notify_all()

    @property
    def started(self):
        return _all() - self._before

    def await_idle(self, count=None, timeout_s=60):
        """Wait until as many threads wait for a call as were started, or `count` of them."""
        expected = len(self.started) if count is None else count
        with self._changed:
            assert self._changed.wait_for(lambda: len(self) == expected, timeout_s)
