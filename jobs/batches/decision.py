"""What a runner, or the audit, decides on a chunk; the ledger writes it."""

import math
import uuid
from dataclasses import dataclass

from jobs.models import Batch, BatchChunk

State = BatchChunk.State


def delay_after(failures: int) -> float:
    """Return for how many seconds a chunk waits that could not be sent after so many others failed in a row."""
    return float(2**failures)


def failures_before(delay_s: float) -> int:
    """Return how many failed in a row before a chunk that waits so long: the only trace of its own earlier turns."""
    return max(0, round(math.log2(delay_s)))


@dataclass(frozen=True, kw_only=True)
class ChunkDecision:
    """What became of a chunk's try, and what follows from it for the chunk, its cluster and its batch.

    `retry` makes a new try of it, `set_aside` takes ids out of it. It is not claimed for the next `delay_s` seconds.
    One that `is_skipped` is left for a later run, or waits for room; that says nothing about the other chunks.
    Its cluster gets no call for `backoff_s` seconds (None: nothing changes), and after that one at a time.
    The batch gets `batch_state` for `reason`; one that is paused goes on by itself after `resume_s` seconds.
    """

    state: BatchChunk.State
    message: str = ""
    http_status: int | None = None
    attempt_id: uuid.UUID | None = None
    set_aside: frozenset[str] = frozenset()
    retry: bool = False
    is_skipped: bool = False
    delay_s: float = 0
    backoff_s: float | None = None
    batch_state: Batch.State | None = None
    reason: str = ""
    resume_s: float | None = None

    @property
    def is_failure(self) -> bool:
        """Whether the chunk failed. One that TMS wants later did not."""
        return self.state != State.ACCEPTED and not self.retry and not self.is_skipped
