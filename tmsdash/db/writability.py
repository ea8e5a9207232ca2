"""Proofs that a database takes writes: each is a real write, and holds for everybody in this process for a second.

- Only success is kept. After a failure whoever comes next tries anew, one thread at a time.
- A proof ends at once when any write to its database fails, and with the file that it was given for.
"""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import Error as AnyDatabaseError
from django.db import OperationalError

PROVEN_FOR_S = 1.0

File = tuple[int, int] | None  # what distinguishes a SQLite file from another of its name

_proofs: dict[str, tuple[float, File]] = {}  # when each database was proven, and which file of it
_failures: Counter[str] = Counter()
_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


def assert_proven(using: str, file: File, write: Callable[[float], None], wait_s: float) -> None:
    """Call `write` with the seconds that it may wait, unless it succeeded at most PROVEN_FOR_S seconds ago.

    It has to write to the database `using`, whose file is `file`, and raises DatabaseError if that fails.
    """
    if _holds(using, file):
        return
    until = time.monotonic() + wait_s
    if not _locks[using].acquire(timeout=max(0.0, wait_s)):
        raise OperationalError(f"database {using!r} is busy: another thread has tried to write for {wait_s:.1f} s")
    try:
        if not _holds(using, file):  # proven by the thread that was before us
            failures = _failures[using]
            write(until - time.monotonic())
            if failures == _failures[using]:
                _proofs[using] = time.monotonic(), file
    finally:
        _locks[using].release()


def forget(using: str) -> None:
    """End the proof of a database: a write to it failed."""
    _failures[using] += 1
    _proofs.pop(using, None)


@contextmanager
def ended_by_failure(using: str) -> Iterator[None]:
    """End the proof of a database if the block, which writes to it, raises an error of a database."""
    try:
        yield
    except AnyDatabaseError:
        forget(using)
        raise


def _holds(using: str, file: File) -> bool:
    proven_at, proven_file = _proofs.get(using, (float("-inf"), None))
    return time.monotonic() - proven_at <= PROVEN_FOR_S and file == proven_file
