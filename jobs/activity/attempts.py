"""The attempts that Activity is about, those of chunks as well: which these are, and how many.

They are in the order of their keys, and found through the index of the rarest filter, see tmsdash.db.plans:
attempt_by_user, attempt_by_action, attempt_listed_by_cluster, attempt_listed_by_source, attempt_by_seldom_outcome,
attempt_unfinished; through attempt_by_note if a part of a note is looked for; or by the keys of a period, of a customer
or of an id. To count them nothing else is read: if there is more than one filter, those are counted that are among the
first rows of that index.
"""

import uuid
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from django.db import models
from django.db.models import Q, QuerySet

from audit.choices import CHUNK_SOURCES
from audit.customer_index import pks_asking_for
from audit.models import Attempt, AttemptDay
from audit.models.columns import any_of
from audit.selectors import batch_ids_of, noted
from jobs.activity.choices import ShownOutcome, ShownSource
from jobs.activity.wanted import Count, Wanted
from jobs.models import Batch
from tmsdash.db.day_ranges import keys_of_period
from tmsdash.db.plans import planned, rarest_column

MOST_COUNTED = 10_000  # of an index that has all that is asked for
LOOKED_AT = 2000  # attempts, when these are counted of which more is asked
OF_CHUNKS = 500  # attempts whose batches are looked up
OF_ONE_BEGINNING = 1000  # attempts, or batches, whose ids begin alike
FIRST_STEP, LAST_STEP, GROWTH = 160, 2560, 4  # attempts that are read at once
ID_DIGITS = 32
NEWEST = 10**18 - 1  # no key is that large
_COLUMNS = ("pk", "created_at", "source", "user_id", "attempt_id")


class MatchingAttempts:
    """The attempts that are wanted."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._number: int | None = None
        """How many there are, once all of them were read."""

    def rows(self, last: int) -> Iterator[Any]:
        """Yield the _COLUMNS of those up to a key, newest first, in growing steps: no cursor stays open."""
        is_first, last, step = last >= min(self._keys[1], NEWEST - 1), min(last, self._keys[1]), FIRST_STEP
        while True:
            # One bound only: of two, SQLite takes any.
            rows = self._rows.filter(pk__lte=last).order_by("-pk").values_list(*_COLUMNS, named=True)
            part = list(rows[:step])
            if is_first and len(part) < step:
                self._number = len(part)
            is_first = False
            yield from part
            if len(part) < step:
                return
            last, step = part[-1].pk - 1, min(LAST_STEP, GROWTH * step)

    def is_in_batch(self, row: Any) -> bool:
        """Tell whether a batch that the viewer sees stands for an attempt in the list."""
        if self._wanted.names_attempts:
            return row.attempt_id in self.batch_of
        return row.source in CHUNK_SOURCES and self._wanted.batches_of in (None, row.user_id)

    @cached_property
    def batch_of(self) -> dict[uuid.UUID, uuid.UUID]:
        """The batches of the newest attempts of chunks, if single attempts are wanted, as far as events tell them."""
        if not self._wanted.names_attempts:
            return {}
        visible = Q() if self._wanted.batches_of is None else Q(user_id=self._wanted.batches_of)
        of_chunks = self._rows.filter(visible, source__in=CHUNK_SOURCES, pk__lte=self._keys[1]).order_by("-pk")
        return batch_ids_of(list(of_chunks.values_list("attempt_id", flat=True)[:OF_CHUNKS]))

    def count(self) -> Count:
        """Count them, as far as that is cheap."""
        if self._number is not None:
            return Count(self._number, is_exact=True)
        equal, tested = dict(self._equal), self._tested
        column = self._column
        if column in equal or not column:
            indexed = {column: equal.pop(column)} if column else {}
            if equal or tested:
                first = planned(Attempt.objects.filter(**indexed, pk__range=self._keys), through=column)
                looked_at = first.order_by("-pk").values("pk")[:LOOKED_AT]
                counted = {"all": models.Count("pk"), "matching": models.Count("pk", filter=Q(tested, **equal))}
                counts = looked_at.aggregate(**counted)
                return Count(counts["matching"], counts["all"] < LOOKED_AT)
        most = LOOKED_AT if tested else MOST_COUNTED
        number = self._rows.filter(pk__lte=self._keys[1]).order_by("-pk")[: most + 1].count()
        return Count(min(number, most), number <= most)

    @cached_property
    def _keys(self) -> tuple[int, int]:
        """The first and the last key that attempts of the period have."""
        first, last = self._wanted.period
        bounds: Any = keys_of_period(AttemptDay, Attempt, first, last).children if first or last else ()
        keys = dict(bounds)
        return keys.get("pk__gte", 0), keys.get("pk__lte", NEWEST)

    @cached_property
    def _equal(self) -> dict[str, Any]:
        """The columns that have one value."""
        equal = self._wanted.columns
        if self._wanted.source and self._wanted.source != ShownSource.BATCH:
            equal["source"] = self._wanted.source.value
        if self._wanted.outcome == ShownOutcome.UNKNOWN:  # all of these are open, and few are
            equal["is_open"] = True
        elif self._wanted.outcome and len(self._wanted.outcome.outcomes) == 1:
            equal["outcome"] = self._wanted.outcome.outcomes[0].value
        return equal

    @cached_property
    def _tested(self) -> Q:
        """What else is tested."""
        tested = Q(**{name: value for name, value in self._wanted.conditions.items() if name.startswith("created_at")})
        if self._wanted.source == ShownSource.BATCH:
            tested &= Q(source__in=CHUNK_SOURCES)
        if self._wanted.outcome and "outcome" not in self._equal:
            tested &= any_of("outcome", self._wanted.outcome.outcomes)
        return tested & noted(self._wanted.note) if self._wanted.note else tested

    @cached_property
    def _chosen(self) -> Q:
        """The keys of attempts that were chosen one by one."""
        chosen = Q()
        if self._wanted.customer:
            chosen &= Q(pk__in=pks_asking_for(self._wanted.customer))
        if self._wanted.begins:
            ids = Attempt.objects.filter(id_begins("attempt_id", self._wanted.begins)).order_by()
            chosen &= Q(pk__in=list(ids.values_list("pk", flat=True)[:OF_ONE_BEGINNING]))
        if self._wanted.source == ShownSource.BATCH and not self._wanted.names_attempts:
            chosen &= Q(pk__in=[])  # the batches stand for all of them
        return chosen

    @cached_property
    def _column(self) -> str:
        """The column through whose index they are found."""
        if self._wanted.outcome == ShownOutcome.NOT_APPLIED and not self._chosen:
            return "outcome"
        if self._wanted.note and not self._chosen:
            return "note"
        return "id" if self._chosen else rarest_column(Attempt.objects.filter(**self._equal))

    @cached_property
    def _rows(self) -> QuerySet[Attempt]:
        rows = Attempt.objects.filter(self._chosen, self._tested, **self._equal, pk__gte=self._keys[0])
        return planned(rows, through=self._column)


def is_beginning(digits: str) -> bool:
    """Tell whether the id of any attempt, or of any batch, begins with these hexadecimal digits."""
    attempts = Attempt.objects.filter(id_begins("attempt_id", digits)).order_by()
    return attempts.exists() or Batch.objects.filter(id_begins("batch_id", digits)).order_by().exists()


def id_begins(name: str, digits: str) -> Q:
    """Return the condition that an id begins with these hexadecimal digits, as a range that an index knows."""
    first, last = (uuid.UUID(hex=digits.ljust(ID_DIGITS, filler)) for filler in "0f")
    return Q(**{f"{name}__gte": first, f"{name}__lte": last})
