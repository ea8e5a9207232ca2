"""How many attempts there were on days and in months that are over, so that nobody has to count those of years.

1. A day is tallied when it is over, and so is a month: by user, action, cluster, source and outcome. Of a month there
   is a total by source and outcome, too.
2. Attempts in doubt are left out: their outcome is still to come. They are few, and counted one by one.
3. A tally holds while no attempt of its period was added, and as many are in doubt as then. Otherwise the period is
   counted again, as if it had none, and tallied anew. A period without attempts needs none.
4. Whatever gives an attempt another outcome after its day forgets the tallies of day and month in the same
   transaction: TMS's own reply may arrive after a reading, and a Job may turn up that says more than a person's
   decision.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple

from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.db import connections
from django.db.models import Count, Max, QuerySet, Sum, Value
from django.db.models.functions import Coalesce

from audit.chain import DATABASE
from audit.choices import IN_DOUBT_OUTCOMES
from audit.models import Attempt, AttemptDay, AuditEntry, EntryDay, TalliedPeriod, Tally, Unit
from audit.tally_state import IN_DOUBT, TallyState, is_name, name_of, period_of
from tmsdash.days import first_moment
from tmsdash.db import clock, day_ranges
from tmsdash.db.day_ranges import extend
from tmsdash.db.transactions import drop_if_broken, one_at_a_time, write_transaction
from tmsdash.text import one_line

DELAY = timedelta(days=1)  # after the end of a period: clocks differ, and calls last
MOMENT = timedelta(microseconds=1)
BEGINNING, END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
WAIT_S = 0.5  # for other writers, before a page goes on without
NO_ACTION = 0

Span = tuple[datetime, datetime]  # the first and the last moment

logger = logging.getLogger(__name__)


class Tallies(NamedTuple):
    """The tallies of some attempts, and which of them lead over a long period fastest, the largest unit first."""

    rows: QuerySet[Tally]
    units: tuple[Unit, ...]


def tallies_of(*, passed_over: Iterable[str] = (), **conditions: Any) -> Tallies:
    """Return the tallies of attempts that meet conditions on columns that both have, without those of some sources."""
    rows = Tally.objects.filter(**conditions).exclude(source__in=passed_over)
    if any("action_code" in name for name in conditions):
        rows = rows.exclude(action_code=NO_ACTION)
    has_total = conditions.keys() <= {"outcome__exact", "source"}
    return Tallies(rows, (Unit.TOTAL if has_total else Unit.MONTH, Unit.DAY))


def tallied_spans(state: TallyState, unit: Unit, first: datetime, last: datetime) -> list[Span]:
    """Return the parts of a period that consist of whole days or months whose tallies hold, the first one first.

    Tallies those of a month that lack one, if any; whoever reads the state again finds them. `state` is that of the
    period, or more.
    """
    over = min(last, clock.now(DATABASE) - DELAY)
    behind = name_of(unit, over + MOMENT)  # the first one that is not over
    if first >= begin_of(behind):
        return []
    begin = _first_within(unit, first)
    lacking = [name for name in state.names(unit) if begin <= name < behind and not state.holds(unit, name)]
    if lacking and not settings.TMS_PASSIVE:
        names = next(_by_month(lacking))
        try:
            with drop_if_broken(DATABASE):
                tally(unit, names)
        except AnyDatabaseError as error:
            logger.warning("the attempts of %s were not tallied: %s", names[0], error)
    begins, ends = [begin_of(begin), *map(end_of, lacking)], [*map(begin_of, lacking), begin_of(behind)]
    return [(begin, end - MOMENT) for begin, end in zip(begins, ends, strict=True) if begin < end]


def catch_up() -> None:
    """Do at once, after many attempts were added past the services, what lists and pages would do bit by bit.

    Raises DatabaseError.
    """
    extend(AttemptDay, Attempt)
    extend(EntryDay, AuditEntry)
    over = clock.now(DATABASE) - DELAY
    for unit in Unit:
        state = TallyState.of([unit], BEGINNING, over)
        for names in _by_month(name for name in state.names(unit) if end_of(name) <= over):
            tally(unit, names)


def rebuild() -> None:
    """Make the ranges of days and the tallies anew, from the rows. Raises DatabaseError."""
    day_ranges.rebuild(AttemptDay, Attempt)
    day_ranges.rebuild(EntryDay, AuditEntry)
    with write_transaction(DATABASE):
        one_at_a_time(DATABASE, Tally._meta.db_table)
        TalliedPeriod.objects.all().delete()
        Tally.objects.all().delete()
    catch_up()


def tally(unit: Unit, names: list[str]) -> None:
    """Tally days or months that are over, all of one month. Raises DatabaseError."""
    with write_transaction(DATABASE, WAIT_S):
        one_at_a_time(DATABASE, Tally._meta.db_table)
        write_tallies(unit, names, Attempt, Tally, TalliedPeriod, DATABASE)


def write_tallies(unit: Unit, names: list[str], attempt: Any, tally: Any, tallied: Any, database: str) -> None:
    """Write the tallies in place of those that are there, with the models given (those of a migration)."""
    attempts = attempt.objects.using(database)
    last_key = attempts.aggregate(key=Max("pk"))["key"] or 0
    in_doubt = Counter(_of_periods(attempts, unit, names).filter(IN_DOUBT).values_list("period", flat=True))
    for model in (tally, tallied):
        model.objects.using(database).filter(unit=unit, period__in=names).delete()
    columns = ", ".join(field.column for field in tally._meta.concrete_fields)
    sql, parameters = _sums(attempts, unit, names).query.get_compiler(database).as_sql()
    with connections[database].cursor() as cursor:
        cursor.execute(f"INSERT INTO {tally._meta.db_table} ({columns}) {sql}", parameters)
    tallied.objects.using(database).bulk_create(
        tallied(unit=unit, period=name, last_key=last_key, in_doubt=in_doubt[name]) for name in names
    )


def problems() -> Iterator[str]:
    """Yield a sentence about each tally that pages take for good and that is not what its attempts amount to."""
    newest_of_all = Attempt.objects.aggregate(key=Max("pk"))["key"] or 0
    for unit in Unit:
        state = TallyState.of([unit], BEGINNING, END)
        what, kind = "total" if unit == Unit.TOTAL else "tally", "day" if unit == Unit.DAY else "month"
        for name in _stored_names(unit):
            if not is_name(unit, name):  # between two that are, it would be counted with them
                yield f"There is a {what} of {one_line(name, 20)}, which is no {kind}."
            elif name not in state.names(unit):
                yield f"There is a {what} of {name}, when nothing was attempted."
        for names in _by_month(state.names(unit)):
            wrong = _wrong(unit, names)
            for name in names:
                if state.last_key(unit, name) > newest_of_all:
                    yield (
                        f"The {what} of {name} claims to know attempt {state.last_key(unit, name):,}; "
                        f"the newest is {newest_of_all:,}."
                    )
                elif state.holds(unit, name) and name in wrong:
                    yield f"The {what} of {name} is not what its attempts amount to."


def _stored_names(unit: Unit) -> list[str]:
    """Return what tallies name as days or months, whatever that is."""
    return sorted(
        {
            *Tally.objects.filter(unit=unit).values_list("period", flat=True).distinct(),
            *TalliedPeriod.objects.filter(unit=unit).values_list("period", flat=True),
        }
    )


def _wrong(unit: Unit, names: list[str]) -> set[str]:
    """Return those days or months, all of one month, whose stored sums are not those of their attempts."""
    stored = Tally.objects.filter(unit=unit, period__in=names).values_list(*_COLUMNS)
    sums, stored_sums = Counter(_sums(Attempt.objects.all(), unit, names)), Counter(stored)
    return {row[1] for row in (sums - stored_sums) + (stored_sums - sums)}


_COLUMNS = [field.name for field in Tally._meta.concrete_fields]


def _sums(attempts: QuerySet[Any], unit: Unit, names: list[str]) -> QuerySet[Any, Any]:
    """Return what the tallies of days or months, all of one month, consist of, as rows of their table."""
    known = _of_periods(attempts, unit, names).exclude(outcome__in=IN_DOUBT_OUTCOMES)
    others: tuple[Any, ...] = ("user_id", Coalesce("action_code", NO_ACTION), "cluster_url")
    if unit == Unit.TOTAL:
        others = Value(""), Value(NO_ACTION), Value("")
    keys = known.values_list(Value(unit.value), "period", "outcome", *others, "source")
    sums: QuerySet[Any, Any] = keys.annotate(Count("pk"), Sum("customer_count"))
    return sums


def _of_periods(attempts: QuerySet[Any], unit: Unit, names: list[str]) -> QuerySet[Any]:
    of_periods = attempts.filter(created_at__gte=begin_of(names[0]), created_at__lt=end_of(names[-1])).order_by()
    named: QuerySet[Any] = of_periods.annotate(period=period_of(unit)).filter(period__in=names)
    return named


def forget(attempt: Attempt, at: datetime, *, was_in_doubt: bool) -> None:
    """Drop the tallies of the day and month of an attempt that gets another outcome at a time, if there may be any.

    Of a day that is not over there is one if the clock was ahead; what is in doubt is not in it. Belongs into the
    transaction that does so. A tally that is being made meanwhile comes before or after all of it.
    """
    if not was_in_doubt or name_of(Unit.DAY, at) != name_of(Unit.DAY, attempt.created_at):
        one_at_a_time(DATABASE, Tally._meta.db_table)
        for unit in Unit:
            TalliedPeriod.objects.filter(unit=unit, period=name_of(unit, attempt.created_at)).delete()


def begin_of(name: str) -> datetime:
    """Return the first moment of a day (year-month-day) or of a month (year-month)."""
    return first_moment(date.fromisoformat(f"{name}-01"[:10]))


def end_of(name: str) -> datetime:
    """Return the first moment after a day or a month; the last one that there is, in the year 9999."""
    begin = begin_of(name)
    is_day = len(name) == Unit.DAY.letters
    try:
        return begin + timedelta(days=1) if is_day else (begin + timedelta(days=31)).replace(day=1)
    except OverflowError:
        return END


def _first_within(unit: Unit, first: datetime) -> str:
    """Return the first day or month that begins at a moment or later."""
    name = name_of(unit, first)
    return name if begin_of(name) == first else name_of(unit, end_of(name))


def _by_month(names: Iterable[str]) -> Iterator[list[str]]:
    """Yield days or months, which come in their order, in parts that are of one month each."""
    for _, part in groupby(names, key=lambda name: name[: Unit.MONTH.letters]):
        yield list(part)


def sum_up(*_: Any) -> None:
    """Do nothing: for migrations that filled tables which a later one replaces."""


sum_up_days = sum_up
