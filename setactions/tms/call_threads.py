"""Threads that calls run in. Starting one costs more than a short call, so those that are done wait for the next.

A call gets a thread at once: one that waits, or a new one. So a thread that is stuck, such as in a name server's
silence, which nothing can interrupt, holds up no other call. There are as many as calls ran at once lately: one that
has waited for IDLE_S ends, and gives its memory back.
"""

import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

NAME = "tms-call"
IDLE_S = 60.0

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


def _serve(queue: "SimpleQueue[_Work]") -> None:
    while work := _next(queue):
        work()
        del work  # it holds the token
        _idle.append(queue)


def _next(queue: "SimpleQueue[_Work]") -> _Work | None:
    """Return what the thread of a queue is to do next; None if it has waited too long and is to end."""
    try:
        return queue.get(timeout=IDLE_S)
    except Empty:
        try:
            _idle.remove(queue)  # from now on nobody gives it work
        except ValueError:
            return queue.get()  # somebody has taken it by now, and is about to
        return None
