"""How many calls may be in flight at once, so that threads are left for pages; and how much users may leave behind."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings

from setactions.permissions import may_set_action
from setactions.refusal import Refusal
from tmsdash.server.heartbeat import note_calls
from tmsdash.web.user_rates import UserRate

# TMS's gateway answered 429 and 503 to 432 reads a minute; a process stays well below.
READS_PER_MINUTE = 240

# Answers to reads may have 64 MiB; so many at once fit into the memory of a small machine.
READS_AT_ONCE = 8

# What is refused leaves an entry in the audit for ever. Who may send leaves entries anyway, and a script of theirs may
# run through a whole list of wrong bodies; nobody else has a reason to try more often than a person clicks.
REFUSALS_PER_MINUTE = 3000
REFUSALS_PER_MINUTE_WITHOUT_PERMISSION = 60

refusals = UserRate()
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
        note_calls(_in_flight)
    try:
        yield
    finally:
        with _lock:
            _in_flight -= 1
            note_calls(_in_flight)


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


def check_refusal_rate(user: Any) -> None:
    """Count a refusal that is about to be recorded; raises Refusal (429) if this user had too many within a minute."""
    per_minute = REFUSALS_PER_MINUTE if may_set_action(user) else REFUSALS_PER_MINUTE_WITHOUT_PERMISSION
    if not refusals.take(user.get_username(), per_minute):
        raise Refusal(
            429,
            "request",
            f"More than {per_minute} of your requests were refused within a minute. Nothing was sent to TMS. "
            "Wait a minute, then send again what is right.",
        )


BATCHES_AT_ONCE = 8
WORKERS_PER_BATCH = 16
_batches = threading.BoundedSemaphore(BATCHES_AT_ONCE)


def check_active() -> None:
    """Raise Refusal (503) if this server is a stand-by: it neither sends nor decides anything."""
    if settings.TMS_PASSIVE:
        raise Refusal(503, "request", "This server is in passive mode and sends nothing. Use the active one.")


@contextmanager
def batch_slot() -> Iterator[None]:
    """Hold one of this process' BATCHES_AT_ONCE slots, in any thread; raises Refusal (503) when all are taken."""
    if not _batches.acquire(blocking=False):
        raise Refusal(
            503, "request", f"{BATCHES_AT_ONCE} batches are running here already. Go on when one of them is done."
        )
    try:
        yield
    finally:
        _batches.release()
