"""Reads of Activity: attempts that belong to no batch, and batches, merged by time, the newest first.

Attempts are in the audit's database and batches in that of the jobs, so nothing is joined. The rules:

1. Each of the two lists is in the order that its indexes give: attempts by key, batches by time. Merged, the newer of
   both heads comes first. Neither list is sorted anew, so a place in each of them is a place in the merged one, and
   nothing is lost or shown twice, whatever the clocks did.
2. Attempts of chunks are read with the others and passed over, because their batch stands for them. They are newer
   than it, so a page reads no more of them than the batches on it have, however many there are behind.
3. A customer or a part of an id speaks of attempts: a batch is listed if an attempt of a chunk matches everything.
   Which batch that is, is told by the event that opened the attempt. Of a frequent customer that is looked up for the
   newest attempts only. Others stand in the list themselves, and so do those whose event tells no batch: what is
   archived, or was refused.
4. What is searched for is the beginning of an id if there is such a one, else a part of a note; a batch has a note of
   its own.
5. Any other filter is asked of each list in its own words: of an outcome that is the state of a batch's chunks.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from django.utils import timezone

from audit.models import Attempt
from jobs.activity.attempts import NEWEST, MatchingAttempts
from jobs.activity.batches import END_OF_TIME, MatchingBatches, microseconds
from jobs.activity.wanted import Count, Wanted
from jobs.models import Batch


class Place(NamedTuple):
    """Where the list goes on: behind the attempt with this key, and behind the batch of this time and key."""

    attempt: int = NEWEST
    batch_us: int = END_OF_TIME
    batch: int = NEWEST

    def __str__(self) -> str:
        return "-".join(map(str, self))


class Entry(NamedTuple):
    """An attempt, or a batch with how many of its chunks match, if filters ask for that, and the place behind it."""

    pk: int
    batch: Batch | None
    matching: int
    behind: Place


class Activity:
    """Everything that was asked for and is wanted."""

    def __init__(self, wanted: Wanted) -> None:
        self._attempts = MatchingAttempts(wanted)
        self._batches = MatchingBatches(wanted, self._attempts)

    def page(self, place: Place, count: int) -> tuple[list[Entry], bool]:
        """Return so many entries behind a place, and whether there are more."""
        entries = list(islice(self.entries(place), count + 1))
        return entries[:count], len(entries) > count

    def entries(self, place: Place) -> Iterator[Entry]:
        """Yield all entries behind a place; a part is read when it is wanted."""
        attempts = self._attempts.rows(place.attempt - 1)
        batches = self._batches.rows(place.batch_us, place.batch)
        attempt, batch = next(attempts, None), next(batches, None)
        while attempt or batch:
            # A database may hold what is no time; such a row must not hide those behind it.
            if attempt and not (batch and batch.created_at > (attempt.created_at or timezone.now())):
                place = place._replace(attempt=attempt.pk)
                if not self._attempts.is_in_batch(attempt):
                    yield Entry(attempt.pk, None, 0, place)
                attempt = next(attempts, None)
            elif batch:
                place = place._replace(batch_us=microseconds(batch.created_at), batch=batch.pk)
                yield Entry(batch.pk, batch, self._batches.matching(batch), place)
                batch = next(batches, None)

    def counts(self) -> tuple[Count, Count]:
        """Count the attempts, those of chunks as well, and the batches, as far as that is cheap."""
        return self._attempts.count(), self._batches.count()


def attempts_of(entries: Iterable[Entry]) -> dict[int, Attempt]:
    """Return the attempts among some entries, by their keys."""
    keys = [entry.pk for entry in entries if not entry.batch]
    return Attempt.objects.in_bulk(keys) if keys else {}
