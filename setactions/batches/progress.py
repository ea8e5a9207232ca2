"""How fast a batch goes, and how long the rest of it will take."""

from dataclasses import dataclass
from datetime import timedelta

from jobs.batches.selectors import Progress, chunks_of
from jobs.models import Batch, BatchChunk

State = BatchChunk.State
CHUNKS_MEASURED = 20  # those that were accepted last


@dataclass(frozen=True)
class Rate:
    """Customers accepted per minute, and the time that the rest takes at this rate."""

    customers_per_minute: int
    time_left: timedelta

    @property
    def time_left_in_words(self) -> str:
        """Such as "about 3 minutes"."""
        seconds = self.time_left.total_seconds()
        if seconds < 90:
            return "about a minute" if seconds >= 45 else "less than a minute"
        minutes = round(seconds / 60)
        return f"about {minutes} minutes" if minutes < 90 else f"about {round(minutes / 60)} hours"


def rate_of(batch: Batch, progress: Progress) -> Rate | None:
    """Return the rate of a running batch, measured on its last chunks; None while there is too little to measure."""
    accepted = chunks_of(batch).filter(state=State.ACCEPTED).exclude(ended_at=None).order_by("-ended_at")
    last = list(accepted[:CHUNKS_MEASURED])
    customers_left = progress.customers(State.WAITING, State.CALLING)
    if batch.shown_state != Batch.State.RUNNING or len(last) < 2 or not customers_left:
        return None
    started_at = min(chunk.started_at for chunk in last if chunk.started_at)
    seconds = (last[0].ended_at - started_at).total_seconds()  # type: ignore[operator]
    if seconds <= 0:
        return None
    per_second = sum(chunk.customer_count for chunk in last) / seconds
    return Rate(round(per_second * 60), timedelta(seconds=customers_left / per_second))
