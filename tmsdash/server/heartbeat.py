"""What a worker of `serve` shows the watchdog, in memory that they share.

A worker that does not answer may only have a lot to do. Its own memory tells which: the count of beats stands still
only when no thread of Python runs any more, and the count of steps when no request gets on. Both counts go on by
themselves, so nothing here waits for a database, a disk or another process.
"""

import faulthandler
import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tmsdash.processes import give_memory_back, is_ending
from tmsdash.server import shared
from tmsdash.server.shared import Cell, Cells
from tmsdash.web.plain_text import Application

BEAT_S = 0.5
TRIM_EVERY = 60  # beats
DUMP_SIGNAL = signal.SIGUSR1


@dataclass(frozen=True)
class Vitals:
    """The state of a worker at one moment; what the numbers are says `Cell`."""

    pid: int
    beats: int
    steps: int
    requests: int
    calls: int
    ending: int


def vitals_of(slot: Cells) -> Vitals:
    """Return the state of the worker that has a slot of the shared memory."""
    return Vitals(*(slot[cell] for cell in (Cell.PID, Cell.BEATS, Cell.STEPS, Cell.REQUESTS, Cell.CALLS, Cell.ENDING)))


def begin() -> None:
    """Show from now on the state of this process, a worker that has loaded the site, if its server can look at it."""
    if not shared.join():
        return
    # Written by a signal handler in C, which needs no interpreter: files, lines and functions, and no values.
    faulthandler.register(DUMP_SIGNAL, all_threads=True)
    threading.Thread(target=_beat, name="heartbeat", daemon=True).start()


def tracked(application: Application) -> Application:
    """Return the WSGI application with its running requests and their steps counted."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        _count(1)
        try:
            return _Body(application(environ, start_response))
        except BaseException:  # whatever ends it, it no longer runs
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
    with shared.guard:
        shared.mine[Cell.REQUESTS] += requests
        shared.mine[Cell.STEPS] += 1


def _beat() -> None:
    for beat in itertools.count(1):
        shared.mine[Cell.ENDING] = int(is_ending())
        shared.mine[Cell.BEATS] = beat
        if beat % TRIM_EVERY == 0:
            give_memory_back()
        time.sleep(BEAT_S)  # that is what a beat is
