"""How far streams are behind the audit."""

from collections.abc import Sequence
from typing import NamedTuple

from django.db.models import Subquery

from audit.models import AuditEntry, ChainHead
from tmsdash.db import clock
from tmsdash.models import AuditStream


class Lag(NamedTuple):
    """What a stream has not sent yet: the number of entries, and the age of the oldest of them in seconds."""

    name: str
    entries: int
    seconds: float


def chain_and_lags(streams: Sequence[AuditStream]) -> tuple[int, list[Lag]]:
    """Return how many entries the audit has had, and how far each stream is behind, read by one query."""
    entries = [AuditEntry.objects.filter(sequence=stream.sequence + 1) for stream in streams]
    next_times = [Subquery(entry.values("created_at")) for entry in entries]
    head = ChainHead.objects.values_list("sequence", *next_times).first()
    end, *written = head or (0, *[None] * len(streams))
    now, lags = clock.now("audit"), []
    for stream, written_at in zip(streams, written, strict=True):
        # An entry that is archived was written before the stream went on last. A cursor beyond the end, of a history
        # that is gone, is late since then, too: its stream does not go on.
        since = None if stream.sequence == end else written_at or stream.moved_at
        seconds = max(0.0, (now - since).total_seconds()) if since else 0.0
        lags.append(Lag(stream.name, max(0, end - stream.sequence), seconds))
    return end, lags
