"""A queue of those who share a transaction, for tests that must know who waits in it."""

import threading

import pytest

from tmsdash.db.groups import Queue
from tmsdash.tests.tools import WAIT_S


class WatchedQueue(Queue):
    """A queue that says when somebody has joined it, and when somebody's time was up."""

    def __init__(self):
        super().__init__()
        self.joined, self.late = threading.Semaphore(0), threading.Semaphore(0)

    def join(self, member):
        super().join(member)
        self.joined.release()

    def leave(self, member):
        has_left = super().leave(member)
        self.late.release()
        return has_left

    def await_joined(self, count=1):
        for _ in range(count):
            assert self.joined.acquire(timeout=WAIT_S)


def watched_queue_of(module):
    """Return a fixture: the queue of a module whose writers share transactions, watched."""

    @pytest.fixture
    def queue(monkeypatch):
        queue = WatchedQueue()
        monkeypatch.setattr(module, "_queue", queue)
        return queue

    return queue
