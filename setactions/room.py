"""How many calls may be in flight at once, so that threads are left for pages."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from setactions.refusal import Refusal

# TMS's gateway answered 429 and 503 to 432 reads a minute; a process stays well below.
READS_PER_MINUTE = 240

# Answers to reads may have 64 MiB; so many at once fit into the memory of a small machine.
READS_AT_ONCE = 8

_lock = threading.Lock()
_in_flight = 0
_reading = threading.BoundedSemaphore(READS_AT_ONCE)
_reads: deque[float] = deque()


@contextmanager
def call_slot() -> Iterator[None]:
    """Hold one of this process' TMS_MAX_IN_FLIGHT slots; raises Refusal (503) when all are taken."""
    global _in_flight
    with _lock:
        if _in_flight >= settings.TMS_MAX_IN_FLIGHT:
            raise Refusal(503, "request", "The dashboard is busy: too many calls are in flight. Try again in a minute.")
        _in_flight += 1
    try:
        yield
    finally:
        with _lock:
            _in_flight -= 1


@contextmanager
def read_slot() -> Iterator[None]:
    """Hold one of this process' READS_AT_ONCE slots; raises Refusal (503) when all are taken."""
    if not _reading.acquire(blocking=False):
        raise Refusal(503, "request", "The dashboard is busy: too many reads are running. Try again in a minute.")
    try:
        yield
    finally:
        _reading.release()


def throttle_read() -> None:
    """Count a read; raises Refusal (503) above READS_PER_MINUTE in this process."""
    now = time.monotonic()
    with _lock:
        while _reads and _reads[0] < now - 60:
            _reads.popleft()
        if len(_reads) >= READS_PER_MINUTE:
            raise Refusal(503, "request", "Too many reads within a minute. Wait a little, then go on more slowly.")
        _reads.append(now)
