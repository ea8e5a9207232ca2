"""How fast a batch goes, and how long it will take."""

from dataclasses import dataclass
from datetime import timedelta

from jobs.batches.selectors import Progress, chunks_of
from jobs.models import Batch, BatchChunk

State = BatchChunk.State
LOOKED_AT = 20  # chunks that ended last


@dataclass(frozen=True)
class Pace:
    """Customers in a minute, and the time that is left at this rate, rounded up to a whole minute above one."""

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


def pace_of(batch: Batch, progress: Progress) -> Pace | None:
    """Return the pace of a batch that runs, from the chunks that ended last; None if that says nothing yet."""
    ended = list(chunks_of(batch).filter(state=State.ACCEPTED).exclude(ended_at=None).order_by("-ended_at")[:LOOKED_AT])
    left = progress.customers(State.WAITING, State.CALLING)
    if batch.shown_state != Batch.State.RUNNING or len(ended) < 2 or not left:
        return None
    begun = min(chunk.started_at for chunk in ended if chunk.started_at)
    seconds = (ended[0].ended_at - begun).total_seconds()  # type: ignore[operator]
    if seconds <= 0:
        return None
    rate = sum(chunk.customer_count for chunk in ended) / seconds
    return Pace(round(rate * 60), timedelta(seconds=left / rate))
