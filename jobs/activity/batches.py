"""The batches that Activity is about: which these are, and how many.

They are in the order of their times, through batch_by_user_time or batch_by_time; what their chunks meet is looked up
through chunk_figures, batch by batch. There are some thousand after years.
"""

import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from django.db import models
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery, Sum

from jobs.activity.attempts import OF_ONE_BEGINNING, MatchingAttempts, id_begins
from jobs.activity.choices import ShownSource
from jobs.activity.wanted import Count, Wanted
from jobs.batches.selectors import all_batches
from jobs.models import Batch, BatchChunk
from tmsdash.db.plans import planned

AT_ONCE = 50  # more than a page shows
LOOKED_AT = 2000  # batches, when they are counted
END_OF_TIME = 10**18 - 1  # in microseconds since EPOCH, and beyond what a datetime takes
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_TIME = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


class MatchingBatches:
    """The batches that are wanted: where single attempts are, those to which these belong."""

    def __init__(self, wanted: Wanted, attempts: MatchingAttempts) -> None:
        self._wanted, self._attempts = wanted, attempts

    def rows(self, at_us: int, pk: int) -> Iterator[Any]:
        """Yield those behind the batch of this time and key, the newest first, a few at a time.

        Each has `accepted` and `unknown`, how many customers that are, and `matching` chunks.
        """
        chunks = BatchChunk.objects.filter(batch=OuterRef("pk")).order_by().values("batch")
        counted = self._wanted.outcome.chunk_states if self._wanted.outcome else ()
        shown = self._rows.annotate(
            accepted=Subquery(chunks.filter(state=BatchChunk.State.ACCEPTED).values(sum=Sum("customer_count"))),
            unknown=Subquery(chunks.filter(state=BatchChunk.State.UNKNOWN).values(sum=Sum("customer_count"))),
            matching=Subquery(chunks.filter(state__in=counted).values(count=models.Count("pk"))),
        )
        while True:
            at = _EPOCH + timedelta(microseconds=min(at_us, _LAST_TIME))
            # The first half lets an index find the place, as in jobs.selectors.older_than.
            behind = Q(created_at__lte=at) & (Q(created_at__lt=at) | Q(pk__lt=pk))
            part = list(shown.filter(behind)[:AT_ONCE])
            yield from part
            if len(part) < AT_ONCE:
                return
            at_us, pk = microseconds(part[-1].created_at), part[-1].pk

    def matching(self, batch: Any) -> int:
        """Return how many attempts, or chunks, of a batch match; 0 if nothing is asked of them."""
        if self._wanted.names_attempts:
            return self._attempts_in_batches[batch.batch_id]
        return int(batch.matching or 0)

    def count(self) -> Count:
        """Count them, as far as that is cheap."""
        if self._wanted.source not in (None, ShownSource.BATCH):
            return Count(0, is_exact=True)
        if self._wanted.names_attempts:
            return Count(len(self._named), is_exact=True)
        counted = {"all": models.Count("pk"), "matching": models.Count("pk", filter=self._conditions)}
        newest = Batch.objects.filter(pk__in=self._of_user.values("pk")[:LOOKED_AT])
        counts = newest.order_by().aggregate(**counted)
        return Count(counts["matching"], counts["all"] < LOOKED_AT)

    @property
    def _attempts_in_batches(self) -> Counter[uuid.UUID]:
        return Counter(self._attempts.batch_of.values())

    @cached_property
    def _of_user(self) -> QuerySet[Batch]:
        """All batches of the users whose batches are wanted, and may be seen."""
        conditions = {name: value for name, value in self._wanted.columns.items() if name == "user_id"}
        own = {} if self._wanted.batches_of is None else {"user_id": self._wanted.batches_of}
        return all_batches().filter(**conditions).filter(**own)

    @cached_property
    def _rows(self) -> QuerySet[Batch]:
        if self._wanted.source not in (None, ShownSource.BATCH):
            return Batch.objects.none()
        if self._wanted.names_attempts:
            return all_batches().filter(pk__in=self._named)
        return planned(self._of_user.filter(self._conditions), order=("created_at", "id"))

    @cached_property
    def _named(self) -> list[int]:
        """The keys of those to which attempts belong that are spoken of, or whose own id begins so."""
        named = Q(batch_id__in=set(self._attempts.batch_of.values()))
        if self._wanted.begins and not self._wanted.customer:
            named |= id_begins("batch_id", self._wanted.begins) & self._conditions
        return list(self._of_user.filter(named).order_by().values_list("pk", flat=True)[:OF_ONE_BEGINNING])

    @property
    def _conditions(self) -> Q:
        """The conditions as a batch meets them. One for several clusters or actions has neither: its chunks have."""
        chunks = BatchChunk.objects.filter(batch=OuterRef("pk")).order_by()
        period = zip(("created_at__gte", "created_at__lte"), self._wanted.period, strict=True)
        matching = Q(**{name: moment for name, moment in period if moment})
        if cluster_url := self._wanted.columns.get("cluster_url"):
            in_chunks = Exists(chunks.filter(cluster_url=cluster_url))
            matching &= Q(cluster_url=cluster_url) | (Q(cluster_url="") & Q(in_chunks))
        if action_code := self._wanted.columns.get("action_code"):
            in_chunks = Exists(chunks.filter(action_code=action_code))
            matching &= Q(action_code=action_code) | (Q(action_code=None) & Q(in_chunks))
        if self._wanted.note:
            matching &= Q(note__icontains=self._wanted.note)
        if self._wanted.outcome:
            matching &= Q(Exists(chunks.filter(state__in=self._wanted.outcome.chunk_states)))
        return matching


def microseconds(at: datetime) -> int:
    """Return how many of them have passed since 1970."""
    return (at - _EPOCH) // timedelta(microseconds=1)
