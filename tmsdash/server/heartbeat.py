"""What a worker of `serve` shows the watchdog, in memory that both share.

A worker that does not answer may only have a lot to do. Its own memory tells which: the count of beats stands still
only when no thread of Python runs any more, and the count of steps when no request gets on. Both counts go on by
themselves, so nothing here waits for a database, a disk or another process.
"""

import faulthandler
import mmap
import os
import signal
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, MutableSequence
from dataclasses import astuple, dataclass, fields
from typing import Any

from tmsdash.processes import is_ending
from tmsdash.web.plain_text import Application

DESCRIPTOR = "TMSDASH_HEARTBEAT"  # in the environment of the server: the descriptor of the shared memory
BEAT_S = 0.5
DUMP_SIGNAL = signal.SIGUSR1


@dataclass(frozen=True)
class Vitals:
    """The state of a worker at one moment."""

    pid: int = 0  # 0 until the first worker has started
    beats: int = 0
    steps: int = 0  # requests that began or ended, and parts of answers that were taken
    requests: int = 0  # that are running
    calls: int = 0  # to TMS that are running, and what they lead to
    ending: int = 0  # 1 once the worker was asked to end


_PID, _BEATS, _STEPS, _REQUESTS, _CALLS, _ENDING = range(len(fields(Vitals)))
_BYTES = 8 * len(fields(Vitals))
# Without a watchdog, as in commands, the counts are private to this process.
_cells: MutableSequence[int] = array("q", astuple(Vitals()))
_guard = threading.Lock()


class SharedVitals:
    """The memory in which a server's workers keep their state; for Linux."""

    def __init__(self) -> None:
        # Not a file: a full disk must not stop the watchdog, and nothing is left behind.
        self.descriptor = os.memfd_create("heartbeat")
        os.ftruncate(self.descriptor, _BYTES)
        self._cells = _mapped(self.descriptor)

    def __enter__(self) -> "SharedVitals":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def read(self) -> Vitals:
        """Return the state of the newest worker."""
        return Vitals(*self._cells)


def begin() -> None:
    """Show from now on the state of this process, a worker that has loaded the site, if there is a watchdog."""
    global _cells
    descriptor = os.environ.get(DESCRIPTOR)
    if not descriptor:
        return
    # Written by a signal handler in C, which needs no interpreter: files, lines and functions, and no values.
    faulthandler.register(DUMP_SIGNAL, all_threads=True)
    with _guard:
        _cells = _mapped(int(descriptor))
        for index, value in enumerate(astuple(Vitals())):
            _cells[index] = value
        _cells[_PID] = os.getpid()
    threading.Thread(target=_beat, name="heartbeat", daemon=True).start()


def current() -> Vitals:
    """Return the state of this process."""
    return Vitals(*_cells)


def note_calls(running: int) -> None:
    """Say how many calls to TMS are running in this process."""
    _cells[_CALLS] = running


def tracked(application: Application) -> Application:
    """Return the WSGI application with its running requests and their steps counted."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        _count(1)
        try:
            return _Body(application(environ, start_response))
        except BaseException:
            _count(-1)
            raise

    return answer


class _Body:
    """The body of an answer, which the server closes when it is sent or its client has gone."""

    def __init__(self, body: Iterable[bytes]) -> None:
        self._body = body
        self._is_open = True

    def __iter__(self) -> Iterator[bytes]:
        try:
            for part in self._body:
                yield part
                _count(0)
        finally:
            self._end()

    def close(self) -> None:
        try:
            if hasattr(self._body, "close"):
                self._body.close()
        finally:
            self._end()

    def _end(self) -> None:
        if self._is_open:
            self._is_open = False
            _count(-1)


def _count(requests: int) -> None:
    with _guard:
        _cells[_REQUESTS] += requests
        _cells[_STEPS] += 1


def _beat() -> None:
    while True:
        _cells[_ENDING] = int(is_ending())
        _cells[_BEATS] += 1
        time.sleep(BEAT_S)


def _mapped(descriptor: int) -> MutableSequence[int]:
    return memoryview(mmap.mmap(descriptor, _BYTES)).cast("q")  # type: ignore[return-value]
