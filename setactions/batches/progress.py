"""How fast a batch goes, and when it will be done."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.batches.selectors import Progress, chunks_of
from jobs.models import Batch, BatchChunk
from tmsdash.db import clock

State = BatchChunk.State
CHUNKS_MEASURED = 20  # those that were accepted last


@dataclass(frozen=True)
class Rate:
    """Customers accepted per minute, and when the last one will be at this rate."""

    customers_per_minute: int
    ends_at: datetime


def rate_of(batch: Batch, progress: Progress) -> Rate | None:
    """Return the rate of a running batch, measured on its last chunks; None while there is too little to measure."""
    customers_left = progress.customers(State.WAITING, State.CALLING)
    if batch.shown_state != Batch.State.RUNNING or not customers_left:
        return None
    accepted = chunks_of(batch).filter(state=State.ACCEPTED).exclude(ended_at=None).order_by("-ended_at")
    last = list(accepted[:CHUNKS_MEASURED])
    if len(last) < 2:
        return None
    started_at = min(chunk.started_at for chunk in last if chunk.started_at)
    seconds = (last[0].ended_at - started_at).total_seconds()  # type: ignore[operator]
    if seconds <= 0:
        return None
    per_second = sum(chunk.customer_count for chunk in last) / seconds
    return Rate(round(per_second * 60), clock.now("jobs") + timedelta(seconds=customers_left / per_second))
