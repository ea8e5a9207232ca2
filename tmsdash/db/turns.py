"""The turn to write to a database: who holds it is the only writer among the threads of this process.

SQLite's own writers poll, which is unfair; the threads of one process queue here instead.
"""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError

_turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


@contextmanager
def turn(using: str, wait_s: float) -> Iterator[None]:
    """Be the only thread of this process that holds the turn to write to `using`; nothing is sent to the database.

    Raises OperationalError when it was not our turn within `wait_s` seconds.
    """
    if not _turns[using].acquire(timeout=max(0.0, wait_s)):
        raise OperationalError(f"database {using!r} is busy: no turn to write within {wait_s:.1f} s")
    try:
        yield
    finally:
        _turns[using].release()
