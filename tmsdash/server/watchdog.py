"""The watchdog of `serve`: it kills a worker that will never answer again, so that the server starts a new one.

It asks nobody: a queue looks like a frozen worker from outside. Each worker's own counts decide (`heartbeat.py`):

- **Frozen**: no thread of it runs. One of them keeps the interpreter for itself, or the process is stopped. It cannot
  end politely any more. While calls to TMS are running it has as long as a call may take to come back.
- **Stuck**: all its threads have requests, and none of these has got on for longer than any call or read may take:
  they wait for each other. It is asked to end, so that calls of batches are finished, and killed if it does not.
- **Busy**, starting or ending: anything else. It is left alone, and the log says so if it has had no free thread for a
  while.
"""

import logging
import os
import select
import signal
import threading
import time

from tmsdash.server.heartbeat import DUMP_SIGNAL, Vitals, vitals_of
from tmsdash.server.shared import SharedMemory

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 3.0
FROZEN_S = 15.0  # without a heartbeat; there are two a second
DUMP_S = 1.0  # for the worker to write where each thread is
TELL_EVERY_S = 60.0  # between log lines about a busy worker


def is_possible() -> bool:
    """Tell whether this system has what the watchdog needs: Linux 5.3 or later."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


class Watchdog(threading.Thread):
    """Watches the workers of a server from its parent process, for as long as the `with` block lasts."""

    def __init__(self, memory: SharedMemory, *, threads: int, call_s: float) -> None:
        """`threads`: requests that a worker handles at once; `call_s`: seconds that a call and its record may take."""
        super().__init__(name="watchdog", daemon=True)
        self._slots = memory.slots
        self._threads = threads
        self._call_s = call_s
        self._over = threading.Event()
        self._workers: list[_Worker | None] = [None] * len(memory.slots)

    def __enter__(self) -> "Watchdog":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        """Look at intervals; an error in one look is no reason to stop."""
        looked = time.monotonic()
        while not self._over.wait(LOOK_EVERY_S):
            # If the whole machine was paused, the workers did not have the time that passed.
            if time.monotonic() - looked > 2 * LOOK_EVERY_S:
                for worker in filter(None, self._workers):
                    worker.forgive()
            looked = time.monotonic()
            for number in range(len(self._slots)):
                try:
                    self._look(number)
                except Exception:
                    logger.exception("[WATCHDOG] A worker could not be looked at")

    def _look(self, number: int) -> None:
        vitals, worker = vitals_of(self._slots[number]), self._workers[number]
        if worker is None or worker.pid != vitals.pid:
            worker = self._workers[number] = _Worker(vitals) if vitals.pid else None
        if worker is None or not worker.is_alive():
            return  # the next one is starting
        worker.note(vitals, has_room=vitals.requests < self._threads)
        self._judge(worker, vitals)

    def _judge(self, worker: "_Worker", vitals: Vitals) -> None:
        now = time.monotonic()
        beatless_s, stepless_s, full_s = now - worker.beaten, now - worker.stepped, now - worker.had_room
        asked_to_end_s = now - worker.asked_to_end if worker.asked_to_end else 0
        patience_s = self._call_s if vitals.calls or vitals.ending else FROZEN_S
        is_full = vitals.requests >= self._threads
        state = f"requests={vitals.requests}, calls={vitals.calls}"
        if beatless_s >= max(patience_s, FROZEN_S):
            worker.kill(f"has been frozen for {beatless_s:.0f} s, {state}")
        elif asked_to_end_s >= self._call_s:
            worker.kill(f"was asked to end {asked_to_end_s:.0f} s ago and has not, {state}")
        elif vitals.ending or asked_to_end_s:
            return
        elif is_full and stepless_s >= 2 * self._call_s:
            worker.ask_to_end(f"has not got on with any request for {stepless_s:.0f} s, {state}")
        elif is_full:
            worker.tell(f"has had no free thread for {full_s:.0f} s; it is busy, {state}")


class _Worker:
    """A process, and when it last gave each kind of sign. Its descriptor never comes to mean another process."""

    def __init__(self, vitals: Vitals) -> None:
        self.pid = vitals.pid
        self._descriptor = os.pidfd_open(vitals.pid)
        self.asked_to_end = 0.0  # this and the others by the monotonic clock; 0 if it was not
        self._vitals = vitals
        self.forgive()

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    def forgive(self) -> None:
        """Start counting afresh."""
        self.beaten = self.stepped = self.had_room = self._warned = time.monotonic()

    def note(self, vitals: Vitals, *, has_room: bool) -> None:
        """Note what has changed since the last look, and whether it has a free thread."""
        now = time.monotonic()
        if has_room:
            self.had_room = self._warned = now
        if vitals.beats != self._vitals.beats:
            self.beaten = now
        if vitals.steps != self._vitals.steps:
            self.stepped = now
        self._vitals = vitals

    def is_alive(self) -> bool:
        return not self._has_ended_within(0)

    def tell(self, message: str) -> None:
        """Log a warning about the process, but not too often."""
        if time.monotonic() - self._warned >= TELL_EVERY_S:
            self._warned = time.monotonic()
            logger.warning("[WATCHDOG] A worker (process %d) %s", self.pid, message)

    def ask_to_end(self, why: str) -> None:
        """Ask the process to finish what it can and end, and log where its threads are."""
        self._dump()
        logger.critical(
            "[WATCHDOG] The server's worker (process %d) %s. It is asked to end, and a new one is started. "
            "Above is where its threads stood.",
            *(self.pid, why),
        )
        self.asked_to_end = time.monotonic()
        self._send(signal.SIGTERM)

    def kill(self, why: str) -> None:
        """Kill the process; the server starts another one, and `reconcile` finds what was left open."""
        self._dump()
        self._send(signal.SIGKILL)
        logger.critical(
            "[WATCHDOG] The server's worker (process %d) %s. It was killed, and a new one is started; `reconcile` "
            "finishes what it left open. Where its threads stood is above, unless the process was stopped.",
            *(self.pid, why),
        )
        self._has_ended_within(DUMP_S)

    def _dump(self) -> None:
        self._send(DUMP_SIGNAL)
        self._has_ended_within(DUMP_S)

    def _send(self, number: signal.Signals) -> None:
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            return  # it has ended by itself

    def _has_ended_within(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
