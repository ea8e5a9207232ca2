"""Attempts summed up for auditors: by day and by outcome, with a chart and the most frequent errors."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.db import models
from django.db.models import F, Q, QuerySet, Sum
from django.db.models.functions import Substr
from django.utils import timezone

from audit.choices import ACCEPTED_OUTCOMES, Outcome, OutcomeGroup
from audit.models import Attempt, AttemptDay, DayTally, MonthTally
from audit.tallies import MOMENT, attempts_in_doubt, begin_of, end_of, tallied_months
from tmsdash.days import first_moment
from tmsdash.db.day_ranges import keys_of_period
from tmsdash.db.expressions import Day
from tmsdash.db.plans import planned

DAYS_SHOWN = 92  # a longer period is shown in months
MONTHS_SHOWN = 120  # a longer one only from the first to the last month with attempts: it may be all of time
ERRORS_SHOWN = 5
# The chart's units; it is scaled to its place.
WIDTH, HEIGHT, GAP = 900, 120, 0.25
DAY, MONTH = 10, 7  # letters of a time

Count = tuple[str, str, int, int]  # day or month, outcome, attempts, customers
Span = tuple[datetime, datetime]  # the first and the last moment
_LETTERS = {"day": DAY, "month": MONTH}


@dataclass(frozen=True)
class Bar:
    """A part of a column of the chart: its place and its size, in the chart's units."""

    group: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Period:
    """A day or a month, with the number of attempts in each group, and their bars in the chart."""

    name: str
    counts: list[int]
    """In the order of the groups."""
    bars: list[Bar]

    @property
    def total(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True)
class AttemptSummary:
    """The attempts of a period. `outcomes` are (label, group, count), most frequent first; `errors` (text, count)."""

    unit: str
    groups = OutcomeGroup
    periods: list[Period]
    total: int
    customers: int
    outcomes: list[tuple[str, str, int]]
    errors: list[tuple[str, int]]
    most: int


def summarize(
    attempts: QuerySet[Attempt],
    first: datetime | None,
    last: datetime | None,
    tallies: QuerySet[MonthTally] | QuerySet[DayTally] | None = None,
) -> AttemptSummary:
    """Sum up the attempts of a period. `first` and `last` are its bounds; None where it has none.

    With `tallies` of the same attempts, months that are over are not counted again, or days of them.
    """
    since, now = first, timezone.now()
    ahead = planned(attempts.filter(created_at__gt=now), through="created_at").order_by("-created_at")
    last = last or ahead.values_list("created_at", flat=True).first() or now
    by_month = since is None or (last - since).days > DAYS_SHOWN
    rows = [*_counts(attempts, since, last, tallies, MONTH if by_month else DAY)]
    first = since or begin_of(min((name for name, *_ in rows), default=last.isoformat()[:MONTH]))
    if by_month and (last - first).days <= DAYS_SHOWN:  # all of time is no longer than that
        by_month, rows = False, [*_counts(attempts, first, last, tallies, DAY)]
    counts: defaultdict[str, Counter[OutcomeGroup]] = defaultdict(Counter)
    outcomes: Counter[Outcome] = Counter()
    customers = 0
    for name, value, count, customer_count in rows:
        if value not in Outcome:  # somebody wrote it there, and `audit_verify` names it
            continue
        outcome = Outcome(value)
        counts[name][outcome.group] += count
        outcomes[outcome] += count
        customers += customer_count if outcome in ACCEPTED_OUTCOMES else 0
    names = _months(first.date(), last.date(), sorted(counts)) if by_month else _days(first.date(), last.date())
    column = "error_message" if by_month else "created_at"  # of two indexes of failed attempts
    failed = planned(_of_period(attempts, since, last), through=column).exclude(error_message="")
    errors = failed.values_list("error_message").annotate(count=models.Count("pk"))
    most = max((sum(part.values()) for part in counts.values()), default=0)
    return AttemptSummary(
        unit="month" if by_month else "day",
        periods=[
            Period(
                name, [counts[name][group] for group in OutcomeGroup], [*_bars(number, len(names), counts[name], most)]
            )
            for number, name in enumerate(names)
        ],
        total=sum(outcomes.values()),
        customers=customers,
        outcomes=[(str(outcome.label), outcome.group.value, count) for outcome, count in outcomes.most_common()],
        errors=list(errors.order_by("-count", "error_message")[:ERRORS_SHOWN]),
        most=most,
    )


def _counts(
    attempts: QuerySet[Attempt], first: datetime | None, last: datetime, tallies: QuerySet[Any] | None, digits: int
) -> Iterator[Count]:
    """Yield the attempts of a period by day or month and by outcome, from tallies where they hold.

    A day or a month may come in parts.
    """
    spans: list[Span] = []
    if tallies is not None and tallies.model is DayTally:
        spans = _joined(_tallied_days(first, last))
        yield from _tallied(attempts, tallies, "day", spans, digits)
    elif tallies is not None and digits == MONTH:
        spans = _joined(_tallied_months(first, last))
        yield from _tallied(attempts, tallies, "month", spans, digits)
    for begin, end in spans:
        if first is None or first < begin:
            yield from _counted(attempts, first, begin - MOMENT, digits)
        first = end + MOMENT
    if first is None or first <= last:
        yield from _counted(attempts, first, last, digits)


def _tallied_months(first: datetime | None, last: datetime) -> Iterator[Span]:
    """Yield the tallied months that lie within a period."""
    for month in tallied_months(first, last):
        begin, end = begin_of(month), end_of(month) - MOMENT
        if (first is None or first <= begin) and end <= last:
            yield begin, end


def _tallied_days(first: datetime | None, last: datetime) -> Iterator[Span]:
    """Yield the days of each tallied month that lie within a period."""
    for month in tallied_months(first, last):
        begin, end = begin_of(month), end_of(month) - MOMENT
        if first and first > begin:
            begin = first_moment((first - MOMENT).date() + timedelta(days=1))
        if last < end:
            end = first_moment((last + MOMENT).date()) - MOMENT
        if begin < end:
            yield begin, end


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Return the same spans, those in one that follow each other at once."""
    joined: list[Span] = []
    for begin, end in spans:
        if joined and joined[-1][1] + MOMENT == begin:
            begin, _ = joined.pop()
        joined.append((begin, end))
    return joined


def _tallied(
    attempts: QuerySet[Attempt], tallies: QuerySet[Any], unit: str, spans: list[Span], digits: int
) -> Iterator[Count]:
    """Yield what the tallies of some spans say, and the attempts in doubt, which they leave out."""
    if spans:
        kept = reduce(
            or_, (_within(unit, *(moment.isoformat()[: _LETTERS[unit]] for moment in span)) for span in spans)
        )
        sums = tallies.filter(kept).order_by().values_list(Substr(unit, 1, digits), "outcome")
        yield from sums.annotate(Sum("attempts"), Sum("customers"))
        in_doubt = attempts_in_doubt(attempts.filter(reduce(or_, (_within("created_at", *span) for span in spans))))
        yield from _grouped(in_doubt, digits)


def _within(column: str, first: Any, last: Any) -> Q:
    return Q(**{f"{column}__gte": first, f"{column}__lte": last})


def _counted(attempts: QuerySet[Attempt], first: datetime | None, last: datetime, digits: int) -> list[Count]:
    """Return the same from the attempts themselves, read in one pass."""
    return _grouped(planned(_of_period(attempts, first, last).filter(_keys(first, last))), digits)


def _keys(first: datetime | None, last: datetime) -> Q:
    return keys_of_period(AttemptDay, Attempt, first, last)


def _grouped(attempts: QuerySet[Attempt], digits: int) -> list[Count]:
    rows = attempts.order_by().values_list(Day(F("created_at"), digits=digits), "outcome")
    return list(rows.annotate(models.Count("pk"), Sum("customer_count")))


def _of_period(attempts: QuerySet[Attempt], first: datetime | None, last: datetime) -> QuerySet[Attempt]:
    attempts = attempts.filter(created_at__lte=last)
    return attempts.filter(created_at__gte=first) if first else attempts


def _days(first: date, last: date) -> list[str]:
    return [(first + timedelta(days=number)).isoformat() for number in range((last - first).days + 1)]


def _months(first: date, last: date, counted: list[str]) -> list[str]:
    """Return the months between two days, or, if that is too many, between the first and the last one `counted`."""
    begin, end = first.isoformat()[:7], last.isoformat()[:7]
    if (last - first).days > MONTHS_SHOWN * 31:
        begin, end = (counted[0], counted[-1]) if counted else (end, end)
    (year, month), (end_year, end_month) = (map(int, name.split("-")) for name in (begin, end))
    numbers = range(12 * year + month - 1, 12 * end_year + end_month)
    return [f"{number // 12:04d}-{number % 12 + 1:02d}" for number in numbers]


def _bars(number: int, period_count: int, counts: Counter[OutcomeGroup], most: int) -> Iterator[Bar]:
    """Stack the groups of one period, from the bottom of the chart up."""
    width, top = WIDTH / period_count, float(HEIGHT)
    for group in OutcomeGroup:
        if counts[group]:
            height = HEIGHT * counts[group] / most
            top -= height
            place = (width * (number + GAP / 2), top, width * (1 - GAP), height)
            yield Bar(group.value, *(round(length, 2) for length in place))
