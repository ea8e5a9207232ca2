"""How far streams are behind the audit."""

from typing import NamedTuple

from audit.figures import chain_length
from audit.models import AuditEntry
from tmsdash.db import clock
from tmsdash.models import AuditStream


class Lag(NamedTuple):
    """What a stream has not sent yet: the number of entries, and the age of the oldest of them in seconds."""

    name: str
    entries: int
    seconds: float


def lags() -> list[Lag]:
    """Return how far each stream is behind. Raises DatabaseError, or ValueError if a database holds what is no time."""
    streams = list(AuditStream.objects.order_by("name"))
    if not streams:
        return []
    end, now = chain_length(), clock.now("audit")
    next_ones = [stream.sequence + 1 for stream in streams]
    written = dict(AuditEntry.objects.filter(sequence__in=next_ones).values_list("sequence", "created_at").order_by())
    lags = []
    for stream in streams:
        # An entry that is archived was written before the stream went on last. A cursor beyond the end, of a history
        # that is gone, is late since then, too: its stream does not go on.
        since = None if stream.sequence == end else written.get(stream.sequence + 1, stream.moved_at)
        seconds = max(0.0, (now - since).total_seconds()) if since else 0.0
        lags.append(Lag(stream.name, max(0, end - stream.sequence), seconds))
    return lags
