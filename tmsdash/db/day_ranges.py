"""Which keys the rows of a day have, so that a list of a period reads the rows of that period and no others.

Lists are in the order of keys, and rows are narrowed by their time. An index on the time cannot give the order, so a
database either sorts everything of a period or goes through all rows that are newer. The first and the last key of a
period bound it in every index that has the key behind another column.

1. Rows are added with growing keys and are never given another time, so the range of a day is only ever widened.
2. Times need not grow with the keys: clocks are set back, and old rows are imported. Hence a range is that of all
   rows of the day, wherever they stand, and whoever narrows by keys goes on to test the time as well.
3. Rows behind the last known key are newer than any range tells: they are looked at one by one. There are few,
   because whoever finds many has the ranges extended.
"""

import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.db import models
from django.db.models import F, Max, Min, Q, Subquery
from django.db.models.functions import Coalesce

from tmsdash.db.expressions import Day, unindexed
from tmsdash.db.transactions import drop_if_broken, one_at_a_time, write_transaction

LAG = 1000  # keys: PostgreSQL may commit a row after one with a higher key, but not after so many
MANY = 4000  # rows behind the last known key, from which on the ranges are extended
AT_ONCE = 20_000  # rows in one transaction, which takes some hundredths of a second
WAIT_S = 0.5  # for other writers, before a list goes on without

logger = logging.getLogger(__name__)


class DayRange(models.Model):
    """The keys of the first and the last row of a day (UTC)."""

    day = models.DateField(primary_key=True)
    first = models.BigIntegerField()
    last = models.BigIntegerField()

    objects: models.Manager[Any]

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.day}: {self.first} to {self.last}"


def keys_of_period(
    ranges: type[DayRange], rows: type[models.Model], first: datetime | None, last: datetime | None
) -> Q:
    """Return a condition on the keys that all `rows` from `first` to `last` meet; each None if there is no bound.

    Others may meet it, too, so their time has to be tested.
    """
    bounds: dict[str, Any] = {}
    if first:
        bounds["start"] = ranges.objects.filter(day__gte=_day(first)).order_by("first").values("first")[:1]
    if last:
        bounds["end"] = ranges.objects.filter(day__lte=_day(last)).order_by("-last").values("last")[:1]
        known = ranges.objects.order_by("-last").values("last")[:1]
        behind = rows._default_manager.filter(*unindexed(created_at__lte=last), pk__gt=Coalesce(Subquery(known), 0))
        bounds["behind"] = behind.order_by("-pk").values("pk")[:1]
    keys = _read(ranges, rows, **bounds)
    if _keep_up(ranges, rows, keys["known"], keys["newest"]):
        keys = _read(ranges, rows, **bounds)
    condition = Q()
    if first:
        condition &= Q(pk__gte=keys["start"] or keys["known"] + 1)
    if last:
        condition &= Q(pk__lte=keys["behind"] or keys["end"] or 0)
    return condition


def kept_up(ranges: type[DayRange], rows: type[models.Model]) -> int:
    """Return the key up to which the ranges hold every row, 0 if they hold none, once they are extended if need be."""
    keys = _read(ranges, rows)
    return last_known(ranges) if _keep_up(ranges, rows, keys["known"], keys["newest"]) else int(keys["known"])


def last_known(ranges: type[DayRange]) -> int:
    """Return the key up to which the ranges hold every row; 0 if they hold none."""
    return ranges.objects.aggregate(key=Max("last"))["key"] or 0


def extend(ranges: type[DayRange], rows: type[models.Model]) -> None:
    """Extend the ranges by all rows that are not in them yet. Raises DatabaseError."""
    while _extend_by_some(ranges, rows):
        pass


def rebuild(ranges: type[DayRange], rows: type[models.Model]) -> None:
    """Make the ranges anew. Lists are right meanwhile, only slower. Raises DatabaseError."""
    database = rows._default_manager.db
    with write_transaction(database):
        one_at_a_time(database, ranges._meta.db_table)
        ranges.objects.all().delete()
    extend(ranges, rows)


def problems(ranges: type[DayRange], rows: type[models.Model], newest: int) -> Iterator[str]:
    """Yield a sentence about everything in the ranges for which a list leaves rows out; `newest` is the last key."""
    # As text: a database may hold what is no day.
    stored = {day: keys for day, *keys in ranges.objects.values_list(Day(F("day"), digits=10), "first", "last")}
    if not all(isinstance(key, int) for keys in stored.values() for key in keys):
        yield "A range has a key that is no number."
        return
    known = max((last for _, last in stored.values()), default=0)
    if known > newest:
        yield f"The ranges go up to key {known:,}, but the newest row has key {newest:,}."
    for day, (first, last) in sorted(_keys_of_days(rows, known).items(), key=str):
        if day not in stored:
            yield f"The rows of {day}, {first:,} to {last:,}, are in no range."
        elif first < stored[day][0] or last > stored[day][1]:
            yield "The range of {}, {:,} to {:,}, leaves out rows of {:,} to {:,}.".format(
                day, *stored[day], first, last
            )


def _keys_of_days(rows: type[models.Model], newest: int) -> dict[str, tuple[int, int]]:
    """Return the first and the last key of the rows of each day, up to a key; only some rows are sorted at once."""
    keys: dict[str, tuple[int, int]] = {}
    present = rows._default_manager.filter(pk__lte=newest).order_by()
    start = present.aggregate(key=Min("pk"))["key"]
    while start is not None:
        some = present.filter(pk__gte=start, pk__lt=start + AT_ONCE).values_list(Day(F("created_at"), digits=10))
        for day, first, last in some.annotate(Min("pk"), Max("pk")):
            before = keys.get(day, (first, last))
            keys[day] = min(before[0], first), max(before[1], last)
        start = present.filter(pk__gte=start + AT_ONCE).aggregate(key=Min("pk"))["key"]
    return keys


def fill(ranges: Any, rows: Any, database: str) -> None:
    """Make the ranges of all rows that there are, with the models of a migration and within its transaction."""
    newest = rows.objects.using(database).aggregate(key=Max("pk"))["key"] or 0
    known = rows.objects.using(database).filter(*unindexed(pk__lte=newest - LAG)).order_by()
    days = known.values_list(Day(F("created_at"), digits=10)).annotate(Min("pk"), Max("pk"))
    filled = (ranges(day=day, first=first, last=last) for day, first, last in days)
    ranges.objects.using(database).bulk_create(filled)


def _read(ranges: type[DayRange], rows: type[models.Model], **bounds: Any) -> dict[str, Any]:
    """Return the newest key of all rows, the last known one, and what else is asked of the ranges, in one statement."""
    wanted = {"known": ranges.objects.order_by("-last").values("last")[:1], **bounds}
    newest = rows._default_manager.order_by("-pk").values(newest=F("pk"), **{k: Subquery(v) for k, v in wanted.items()})
    keys = newest.first() or dict.fromkeys(wanted)
    return keys | {"newest": keys.get("newest") or 0, "known": keys["known"] or 0}


def _keep_up(ranges: type[DayRange], rows: type[models.Model], known: int, newest: int) -> bool:
    """Extend the ranges by some rows, if many are missing behind the last `known` key; tell whether that was tried.

    A list is as right without that, only slower.
    """
    if settings.TMS_PASSIVE or newest - LAG - known < MANY:
        return False
    try:
        with drop_if_broken(rows._default_manager.db):
            _extend_by_some(ranges, rows)
    except AnyDatabaseError as error:
        logger.warning("the ranges in %s were not extended: %s", ranges._meta.db_table, error)
    return True


def _extend_by_some(ranges: type[DayRange], rows: type[models.Model]) -> bool:
    """Extend the ranges by the next rows; tell whether there were any."""
    database = rows._default_manager.db
    with write_transaction(database, WAIT_S):
        one_at_a_time(database, ranges._meta.db_table)
        missing = rows._default_manager.filter(pk__gt=last_known(ranges), pk__lte=_newest(rows) - LAG)
        end = max(missing.order_by("pk").values_list("pk", flat=True)[:AT_ONCE], default=0)
        days = missing.filter(pk__lte=end).order_by().values_list(Day(F("created_at"), digits=10))
        widened = [
            ranges(day=date.fromisoformat(name), first=first, last=last)
            for name, first, last in days.annotate(Min("pk"), Max("pk"))
        ]
        before = dict(ranges.objects.values_list("day", "first").filter(day__in=[new.day for new in widened]))
        for new in widened:
            new.first = min(new.first, before.get(new.day, new.first))
        ranges.objects.bulk_create(
            widened, update_conflicts=True, unique_fields=["day"], update_fields=["first", "last"]
        )
    return bool(widened)


def _newest(rows: type[models.Model]) -> int:
    newest: int | None = rows._default_manager.aggregate(key=Max("pk"))["key"]
    return newest or 0


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()
