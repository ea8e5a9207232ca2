"""How many attempts there were in months that are over, so that nobody has to count those of years.

1. A month is tallied when it is over: by user, action, cluster, source and outcome, and each of its days by outcome
   alone. Rows of the old dashboard are not in it.
2. Attempts in doubt are left out: their outcome is still to come. They are few, and counted one by one.
3. A tally holds while no attempt of its month was added, and as many are in doubt as then. Otherwise the month is
   counted again, as if it had none, and tallied anew.
4. Whatever gives an attempt another outcome after its month forgets the tally in the same transaction: TMS's own reply
   may arrive after a reading, and a Job may turn up that says more than a person's decision.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.db.models import Count, F, Max, QuerySet, Sum
from django.utils import timezone

from audit.chain import DATABASE
from audit.choices import IN_DOUBT_OUTCOMES, LEGACY_SOURCES
from audit.models import Attempt, AttemptDay, AuditEntry, DayTally, EntryDay, MonthTally, TalliedMonth
from tmsdash.days import first_moment
from tmsdash.db import day_ranges
from tmsdash.db.day_ranges import extend, last_known
from tmsdash.db.expressions import Day, unindexed
from tmsdash.db.plans import planned
from tmsdash.db.transactions import drop_if_broken, one_at_a_time, write_transaction
from tmsdash.text import one_line

DELAY = timedelta(days=1)  # after the end of a month: clocks differ, and calls last
MOMENT = timedelta(microseconds=1)
WAIT_S = 0.5  # for other writers, before a page goes on without
KEYS = ("user_id", "action_code", "cluster_url", "source", "outcome")

_MONTH = Day(F("created_at"), digits=7)  # as text: a database may hold what is no time

logger = logging.getLogger(__name__)


def tallied_months(first: datetime | None, last: datetime) -> list[str]:
    """Return the months (year-month) that a period touches and whose tally holds, the first one first.

    Tallies a month that lacks one, if any; the next call takes the next.
    """
    over = timezone.now() - DELAY
    newest = _newest_keys(over)
    end = min(_month_of(over), f"{_month_of(last)}-")  # right behind the last one
    months = [month for month in sorted(newest) if (not first or _month_of(first) <= month) and month < end]
    in_doubt, tallied = _in_doubt(), {row.month: row for row in TalliedMonth.objects.all()}
    lacking = [
        month
        for month in months
        if month not in tallied or tallied[month].last_key < newest[month] or tallied[month].in_doubt != in_doubt[month]
    ]
    if lacking and not settings.TMS_PASSIVE:
        try:
            with drop_if_broken(DATABASE):
                tally(lacking[0])
        except AnyDatabaseError as error:
            logger.warning("the attempts of %s were not tallied: %s", lacking[0], error)
    return [month for month in months if month not in lacking]


def catch_up() -> None:
    """Do at once, after many attempts were added past the services, what lists and pages would do bit by bit.

    Raises DatabaseError.
    """
    extend(AttemptDay, Attempt)
    extend(EntryDay, AuditEntry)
    over = timezone.now() - DELAY
    for month in sorted(_newest_keys(over)):
        if month < _month_of(over):
            tally(month)


def rebuild() -> None:
    """Make the ranges of days and the tallies of months anew, from the rows. Raises DatabaseError."""
    day_ranges.rebuild(AttemptDay, Attempt)
    day_ranges.rebuild(EntryDay, AuditEntry)
    with write_transaction(DATABASE):
        one_at_a_time(DATABASE, MonthTally._meta.db_table)
        TalliedMonth.objects.all().delete()
    catch_up()


def problems() -> Iterator[str]:
    """Yield a sentence about each tally that pages take for good and that is not what its attempts amount to."""
    in_doubt, newest = _in_doubt(), _newest_keys(timezone.now())
    newest_of_all = Attempt.objects.aggregate(key=Max("pk"))["key"] or 0
    for tallied in TalliedMonth.objects.order_by("month"):
        month = tallied.month
        if tallied.last_key > newest_of_all:
            yield f"The tally of {month} claims to know attempt {tallied.last_key:,}; the newest is {newest_of_all:,}."
        elif tallied.last_key >= newest.get(month, newest_of_all + 1) and tallied.in_doubt == in_doubt[month]:
            months, days = MonthTally.objects.filter(month=month), DayTally.objects.filter(day__startswith=month)
            if not (_is_whole(months, KEYS, month) and _is_whole(days, ("day", "outcome"), month)):
                yield f"The tally of {month} is not what its attempts amount to."
    for tallies, column, rest in ((MonthTally, "month", "-01"), (DayTally, "day", "")):
        for value in tallies.objects.order_by().values_list(column, flat=True).distinct():
            if not _is_day(value + rest):  # between two that are, it would be counted with them
                yield f"There is a tally of {one_line(value, 20)}, which is no {column}."


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _is_whole(stored: QuerySet[Any], keys: Sequence[str], month: str) -> bool:
    """Tell whether the stored sums of a month are those of its attempts, by `keys`."""
    columns = (*keys, "attempts", "customers")
    sums = _sums(Attempt.objects.all(), month, keys)
    return Counter(stored.values_list(*columns)) == Counter(sums.values_list(*columns))


def tally(month: str) -> None:
    """Tally a month that is over. Raises DatabaseError."""
    with write_transaction(DATABASE, WAIT_S):
        one_at_a_time(DATABASE, MonthTally._meta.db_table)
        sum_up(month, Attempt, MonthTally, TalliedMonth, DATABASE)
        sum_up_days(month, Attempt, DayTally, DATABASE)


def sum_up(month: str, attempt: Any, month_tally: Any, tallied_month: Any, database: str) -> None:
    """Write the tally of a month in place of the one that is there, with the models given (those of a migration)."""
    attempts = attempt.objects.using(database)
    last_key = attempts.aggregate(key=Max("pk"))["key"] or 0
    in_doubt = _of_month(attempts, month).filter(outcome__in=IN_DOUBT_OUTCOMES).count()
    sums = _sums(attempts, month)
    month_tally.objects.using(database).filter(month=month).delete()
    month_tally.objects.using(database).bulk_create(month_tally(month=month, **row) for row in sums)
    tallied_month.objects.using(database).update_or_create(
        month=month, defaults={"last_key": last_key, "in_doubt": in_doubt}
    )


def sum_up_days(month: str, attempt: Any, day_tally: Any, database: str) -> None:
    """Write the same of each day of the month, with the models given."""
    sums = _sums(attempt.objects.using(database), month, ("day", "outcome"))
    day_tally.objects.using(database).filter(day__startswith=month).delete()
    day_tally.objects.using(database).bulk_create(day_tally(**row) for row in sums)


def _of_month(attempts: QuerySet[Any], month: str) -> QuerySet[Any]:
    of_month = attempts.filter(created_at__gte=begin_of(month), created_at__lt=end_of(month))
    return of_month.exclude(source__in=LEGACY_SOURCES).order_by()


def _sums(attempts: QuerySet[Any], month: str, keys: Sequence[str] = KEYS) -> QuerySet[Any, dict[str, Any]]:
    """Return what the tally of a month consists of, or those of its days."""
    known = (
        _of_month(attempts, month).exclude(outcome__in=IN_DOUBT_OUTCOMES).annotate(day=Day(F("created_at"), digits=10))
    )
    sums = known.values(*keys).annotate(attempts=Count("pk"), customers=Sum("customer_count"))
    return cast(QuerySet[Any, dict[str, Any]], sums)


def forget(attempt: Attempt, at: datetime, *, was_in_doubt: bool) -> None:
    """Drop the tally of the month of an attempt that gets another outcome at a time, if there may be one.

    Of a month that is not over there is one if the clock was ahead; what is in doubt is not in it. Belongs into the
    transaction that does so. A tally that is being made meanwhile comes before or after all of it.
    """
    if not was_in_doubt or (at.year, at.month) != (attempt.created_at.year, attempt.created_at.month):
        one_at_a_time(DATABASE, MonthTally._meta.db_table)
        TalliedMonth.objects.filter(month=_month_of(attempt.created_at)).delete()


def begin_of(month: str) -> datetime:
    """Return the first moment of a month (year-month)."""
    return first_moment(date.fromisoformat(f"{month}-01"))


def end_of(month: str) -> datetime:
    """Return the first moment after a month."""
    return (begin_of(month) + timedelta(days=31)).replace(day=1)


def attempts_in_doubt(attempts: QuerySet[Attempt]) -> QuerySet[Attempt]:
    """Return those that tallies leave out."""
    return planned(attempts.filter(is_open=True, outcome__in=IN_DOUBT_OUTCOMES), through="is_open")


def _in_doubt() -> Counter[str]:
    """Return how many attempts of each month are in doubt."""
    attempts = attempts_in_doubt(Attempt.objects.exclude(source__in=LEGACY_SOURCES))
    return Counter(attempts.values_list(_MONTH, flat=True))


def _newest_keys(until: datetime) -> dict[str, int]:
    """Return each month up to a moment with the key of the attempt of it that was added last."""
    newest = dict(AttemptDay.objects.values_list(Day(F("day"), digits=7)).annotate(Max("last")))
    behind = Attempt.objects.filter(*unindexed(created_at__lte=until), pk__gt=last_known(AttemptDay)).order_by("pk")
    return newest | dict(behind.values_list(_MONTH, "pk"))


def _month_of(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()[:7]  # strftime writes the year 1 with one digit
