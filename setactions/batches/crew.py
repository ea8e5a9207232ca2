"""Threads of this process that claim chunk after chunk of a batch for its runner, and send each.

For each call that may be made at once there are two: one sends while the other one records what it was answered. A crew
works until nothing is left to do; or, for a worker of the queue, who has other batches to see to, for one turn.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from django.conf import settings
from django.db import close_old_connections, connections

from jobs.batches import ledger
from jobs.batches.decision import ChunkDecision
from jobs.batches.ledger import Idle
from jobs.models import Batch, BatchChunk
from setactions.batches.carrier import APART_S, Carrier, persist
from setactions.liveness import FAILED
from tmsdash.log_context import about
from tmsdash.processes import is_ending

logger = logging.getLogger(__name__)

UNUSABLE = "The jobs database could not be used."
POLL_S = 0.5  # how soon a thread without work sees what other processes did to the ledger
# How often, and how soon, a crew that has only a turn looks once more: TMS has answered a call, and another process has
# yet to record that.
SOON, SOON_S = 20, 0.01


class Crew:
    """The threads that carry a batch for one runner, here.

    `idle` is what the ledger said when there was nothing to do any more: None if a turn was over, or the ledger could
    not be used. `reason` is why the batch cannot go on here, if it cannot.
    """

    def __init__(
        self,
        batch: Batch,
        runner: str,
        carrier: Carrier,
        calls: int,
        *,
        lease_s: float = 0,
        turn_s: float | None = None,
        on_settled: Callable[[BatchChunk, ChunkDecision], None] | None = None,
    ) -> None:
        """Prepare to make at most so many `calls` at once; each claim extends the lease to `lease_s`, if that is given.

        A turn is over after the chunk with which `turn_s` seconds have passed, or when there is nothing to do for now.
        `on_settled` is told of each chunk that was sent, by the thread that sent it.
        """
        self.idle: Idle | None = None
        self.reason = ""
        self._batch, self._runner, self._carrier = batch, runner, carrier
        self._call_count, self._lease_s, self._on_settled = calls, lease_s, on_settled
        self._calls = threading.Semaphore(calls)
        self._answered: set[int] = set()  # chunks that TMS accepted, while that is being recorded
        self._ending, self._changed = threading.Event(), threading.Event()
        self._turn_s, self._until = turn_s, 0.0
        self._has_claimed, self._looks_left = False, 0

    @property
    def has_failed(self) -> bool:
        """Whether the batch cannot go on here; the ledger, which could not be used, may be used again soon."""
        return self.reason not in ("", UNUSABLE)

    def end(self, reason: str) -> None:
        """Let the running calls finish, then end; safe to call from anywhere, signal handlers excepted."""
        self.reason = self.reason or reason
        self._ending.set()
        self._changed.set()

    def wait(self, seconds: float) -> bool:
        """Wait until it is ending, for at most so long; tell whether it is."""
        return self._ending.wait(seconds)

    def run(self) -> None:
        """Carry the batch until there is nothing left to do here."""
        self._until = time.monotonic() + self._turn_s if self._turn_s is not None else float("inf")
        started: list[threading.Thread] = []
        try:
            for number in range(2 * self._call_count):
                thread = threading.Thread(target=self.closing, args=(self._work,), name="batch-worker")
                thread.start()
                started.append(thread)
                if number < self._call_count:
                    self._ending.wait(APART_S)
        except RuntimeError:  # the system allows no more threads: those that there are carry it
            logger.exception("[BATCH] EXCEPTION: %s", self._batch.batch_id)
            if not started:
                self.end(FAILED)
        for thread in started:
            thread.join()

    def closing(self, work: Callable[[], None]) -> None:
        """Do some work of a thread, and close its connections; what it raises is the reason of the end."""
        failure = FAILED
        try:
            with about(batch_id=self._batch.batch_id):
                work()
            failure = ""
        except Exception:
            batch_id = self._batch.batch_id
            logger.exception("[BATCH] EXCEPTION: %s", batch_id, extra={"batch_id": batch_id})
        finally:
            if failure:  # the others would wait for what this thread has claimed
                self.end(failure)
            connections.close_all()

    def _work(self) -> None:
        while not self._ending.is_set():
            is_work_left = self._work_once()
            close_old_connections()  # those of PostgreSQL go back to their pool, as after a request
            if not is_work_left:
                self._await_work()

    def _await_work(self) -> None:
        """Wait a little; a turn ends when that has been in vain."""
        if self._turn_s is None:
            self._changed.wait(POLL_S)
        elif self._looks_left > 0 or self._answered:  # below 0 if recording took longer than all looks
            self._looks_left -= 1
            self._changed.wait(SOON_S)
        else:
            self.idle = Idle.FOR_NOW
            self.end("")

    def _work_once(self) -> bool:
        """Carry out one chunk at most; False if there was nothing to do, but may be later."""
        with ExitStack() as call:
            self._calls.acquire()
            call.callback(self._calls.release)
            if is_ending():
                self.end("The server that ran it was stopped. Go on with your token.")
            if self._has_claimed and time.monotonic() > self._until:
                self.end("")
            if self._ending.is_set():
                return True
            self._changed.clear()  # before the claim, so that no change after it is missed
            chunk = persist(self._batch, self._claim)
            if chunk is Idle.FOR_NOW:
                return False
            if isinstance(chunk, BatchChunk):
                self._has_claimed, self._looks_left = True, SOON
                self._carry_out(chunk, call)
            else:
                self.idle = chunk
                self.end("" if chunk else UNUSABLE)
        self._changed.set()  # one more call for the other threads, or the end
        return True

    def _claim(self) -> BatchChunk | Idle:
        calls_at_once, answered = settings.TMS_BATCH_CALLS, [*self._answered]
        return ledger.claim(self._batch, self._runner, calls_at_once, answered, lease_s=self._lease_s)

    def _carry_out(self, chunk: BatchChunk, call: ExitStack) -> None:
        def on_accepted() -> None:
            # What is left to do is recording, which must not keep the next call waiting. In this order: the thread
            # that goes on claims at once, and the ledger must not count this call then.
            self._answered.add(chunk.pk)
            call.close()
            self._changed.set()

        decision = self._carrier.carry_out(chunk, on_accepted)
        self._answered.discard(chunk.pk)
        if self._carrier.token_refused:  # only now: the batch is paused with the reason first
            self._ending.set()
        if self._on_settled:
            self._on_settled(chunk, decision)
