"""Threads that calls run in. Starting one costs more than a short call, so those that are done wait for the next.

A call gets a thread at once: one that waits, or a new one. So a thread that is stuck, such as in a name server's
silence, which nothing can interrupt, holds up no other call. There are as many as calls ever ran at once, and they
end with the process.
"""

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

NAME = "tms-call"

_Work = Callable[[], None]
_idle: list[SimpleQueue[_Work]] = []  # of each thread that waits, the one that began to wait last at the end
os.register_at_fork(after_in_child=lambda: _idle.clear())  # threads do not survive a fork


def run(work: _Work) -> None:
    """Run `work`, which raises nothing, in a thread that runs nothing else meanwhile; return at once."""
    try:
        queue = _idle.pop()
    except IndexError:
        queue = SimpleQueue()
        threading.Thread(target=_serve, args=(queue,), name=NAME, daemon=True).start()
    queue.put(work)


def idle_count() -> int:
    """Return how many threads wait for a call."""
    return len(_idle)


def _serve(queue: "SimpleQueue[_Work]") -> None:
    while True:
        work = queue.get()
        work()
        del work  # it holds the token
        _idle.append(queue)
