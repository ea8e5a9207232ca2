"""The turn to write to a database: who has it is the only writer among the threads of this process.

SQLite's own writers poll, which is unfair. Here the threads of a process queue for a lock, and whoever has that one
queues for the file among the processes of the host (`host_turns`). A process that has the file keeps it for its next
threads, but for no longer than KEEP_S if another process may be waiting: to pass it on takes a change of process.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import OperationalError

from tmsdash.db import host_turns
from tmsdash.db.writability import File

KEEP_S = 0.004


class _Turn:
    """The turn to write to one database. `_guard` guards the attributes, and is held for an instant only."""

    def __init__(self) -> None:
        self._lock, self._guard = threading.Lock(), threading.Lock()
        self._waiting = 0  # threads
        self._is_taken = False  # by a thread
        self._file: File = None  # while this process has it
        self._semaphore, self._since = host_turns.NONE, 0.0  # the file's, and since when it is ours

    def take(self, wait_s: float) -> bool:
        """Take the turn for this thread; False if it was not to be had within `wait_s` seconds."""
        is_taken = False
        with self._guard:
            self._waiting += 1
        try:
            is_taken = self._lock.acquire(timeout=max(0.0, wait_s))
        finally:  # a thread that is interrupted does not wait any more, either
            with self._guard:
                self._waiting -= 1
                self._is_taken = self._is_taken or is_taken
                if not self._waiting and not self._is_taken:  # it was kept for this thread
                    self._give_file_back()
        return is_taken

    def take_file(self, file: str | Path, identity: File, wait_s: float) -> None:
        """Take the file for the thread that has the turn, unless it was kept. Raises TimeoutError."""
        if identity is not None and self._file != identity:
            self._give_file_back()  # it is another one of this name now
            self._semaphore = host_turns.take(file, identity, wait_s)
            self._file, self._since = identity, time.monotonic()

    def end(self) -> None:
        """Pass the turn on to the next thread, and the file with it or to the next process."""
        with self._guard:
            self._is_taken = False
            if not self._waiting or time.monotonic() - self._since > KEEP_S:
                self._give_file_back()
        self._lock.release()

    def _give_file_back(self) -> None:
        if self._file is not None:
            host_turns.give_back(self._semaphore)
            self._file = None


_turns: dict[str, _Turn] = {}


def _turn_of(using: str) -> _Turn:
    # Of two threads that make the first one at the same moment, both get the one that stays.
    return _turns.get(using) or _turns.setdefault(using, _Turn())


@contextmanager
def turn(using: str, wait_s: float) -> Iterator[None]:
    """Be the only thread of this process that has the turn to write to `using`; nothing is sent to the database.

    Raises OperationalError when it was not our turn within `wait_s` seconds.
    """
    if not _turn_of(using).take(wait_s):
        raise _no_turn(using, wait_s)
    try:
        yield
    finally:
        _turn_of(using).end()


def take_file(using: str, file: str | Path, identity: File, wait_s: float) -> None:
    """Be the only process of this host that has the turn to write to a SQLite file, until the turn of this thread ends.

    Where that cannot be had SQLite's own locks must do. Raises OperationalError after `wait_s` seconds.
    """
    try:
        _turn_of(using).take_file(file, identity, wait_s)
    except TimeoutError:
        raise _no_turn(using, wait_s) from None


def _no_turn(using: str, wait_s: float) -> OperationalError:
    return OperationalError(f"database {using!r} is busy: no turn to write within {wait_s:.1f} s")
