"""Carries a batch in a command's own process: its progress on the terminal, and an end in good order on Ctrl-C."""

import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

from django.core.management.base import CommandError
from django.db import connections
from tqdm import tqdm

from jobs.batches.decision import ChunkDecision
from jobs.models import Batch, BatchChunk
from setactions.batches.runner import Runner

LOOK_S = 0.2  # how often signals are looked for
INTERRUPTED = "Interrupted. The running calls were finished."
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Whether somebody asked the process to end; a signal handler may do no more than say so."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def awaited(self) -> Iterator["Interruption"]:
        """Let Ctrl-C and the like be counted, instead of ending the process in the middle of a call."""

        def note(*_: object) -> None:
            self.count += 1

        before = {number: signal.signal(number, note) for number in _SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Meter:
    """Customers done so far, counted by the runner's threads and shown by the main one."""

    def __init__(self, total: int) -> None:
        self.done, self.total = 0, total
        self._lock = threading.Lock()

    def settled(self, chunk: BatchChunk, decision: ChunkDecision) -> None:
        """Count a chunk that will not be tried again by itself."""
        if decision.state != BatchChunk.State.WAITING:
            with self._lock:
                self.done += chunk.customer_count


def take_over(runner: Runner, interruption: Interruption) -> None:
    """Make the runner the batch's, as soon as the one before it is known to be dead.

    Raises CommandError if that one lives, or if an interruption comes first.
    """
    seen = runner.batch.runner_until
    while not runner.lease():
        current = Batch.objects.get(pk=runner.batch.pk)
        seen = seen or current.runner_until
        if interruption.count or current.runner_until != seen:
            raise CommandError("Another process runs this batch. Stop it there, or on its page. Nothing was sent here.")
        time.sleep(LOOK_S)  # its lease ends by itself


def carry(runner: Runner, meter: Meter, interruption: Interruption) -> None:
    """Run until there is nothing left to do, or until an interruption: then the running calls are finished first."""
    is_shown = sys.stderr.isatty()
    told = 0
    with (
        tqdm(total=meter.total, initial=meter.done, unit=" customers", disable=not is_shown, dynamic_ncols=True) as bar,
        ThreadPoolExecutor(1) as pool,
    ):
        running = pool.submit(_run, runner)
        while not wait([running], timeout=LOOK_S).done:
            if interruption.count > told:
                told = interruption.count
                runner.end(INTERRUPTED)
                tqdm.write("Finishing the running calls; nothing new is sent …", file=sys.stderr)
            bar.update(meter.done - bar.n)
        bar.update(meter.done - bar.n)
        running.result()


def _run(runner: Runner) -> None:
    try:
        runner.run()
    finally:
        connections.close_all()


@contextmanager
def quiet_log(*, is_wanted: bool) -> Iterator[None]:
    """Keep all but warnings off a terminal, where they would break the progress bar."""
    root = logging.getLogger()
    before = root.level
    if is_wanted and sys.stderr.isatty():
        root.setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.setLevel(before)
