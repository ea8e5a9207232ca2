"""Attempts summed up for auditors: by day and by outcome, with a chart and the most frequent errors."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.db import models
from django.db.models import F, Q, QuerySet, Sum
from django.utils import timezone

from audit.choices import ACCEPTED_OUTCOMES, Outcome, OutcomeGroup
from audit.models import Attempt, AttemptDay, Unit
from audit.tallies import BEGINNING, END, MOMENT, Tallies, begin_of, end_of, tallied_spans, tallies_of
from audit.tally_state import TallyState, attempts_in_doubt, is_name
from tmsdash.db.day_ranges import kept_up
from tmsdash.db.expressions import Day
from tmsdash.db.plans import planned

DAYS_SHOWN = 92  # a longer period is shown in months
MONTHS_SHOWN = 120  # a longer one only from the first to the last month with attempts: it may be all of time
ERRORS_SHOWN = 5
PARTS_AT_ONCE = 100  # of a statement: SQLite takes no more than 500
# The chart's units; it is scaled to its place.
WIDTH, HEIGHT, GAP = 900, 120, 0.25

Count = tuple[str, str, int, int]  # day or month, outcome, attempts, customers


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
    tallies: Tallies | None = None,
) -> AttemptSummary:
    """Sum up the attempts of a period. `first` and `last` are its bounds; None where it has none.

    With `tallies` of the same attempts, days and months that are over are not counted again.
    """
    since, until, now = first, last, timezone.now()
    state = _state_of(tallies, since, until)
    begin = since or begin_of((state.first_day or now.isoformat())[: Unit.MONTH.letters])
    by_month = ((until or now) - begin).days > DAYS_SHOWN
    rows = _counts(attempts, since, until, tallies, _unit(by_month), state)
    first, last = _ends(rows, since, until, now)
    if by_month != ((last - first).days > DAYS_SHOWN):  # these began later than others, or the clock was ahead
        by_month = not by_month
        rows = _counts(attempts, since, until, tallies, _unit(by_month), state)
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
    # Of two indexes of failed attempts.
    column, end = ("error_message", until) if by_month else ("created_at", last)
    failed = planned(_of_period(attempts, since, end), through=column).exclude(error_message="")
    errors = failed.values_list("error_message").annotate(count=models.Count("*"))
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
        outcomes=[(str(outcome.label), outcome.value, count) for outcome, count in outcomes.most_common()],
        errors=list(errors.order_by("-count", "error_message")[:ERRORS_SHOWN]),
        most=most,
    )


def count(attempts: QuerySet[Attempt], tallies: Tallies, first: datetime | None, last: datetime | None) -> int:
    """Count the attempts of a period, as `summarize` does; `tallies` are of the same attempts."""
    state = _state_of(tallies, first, last)
    return sum(number for _, _, number, _ in _counts(attempts, first, last, tallies, Unit.MONTH, state))


def count_outcomes(first: datetime | None, last: datetime) -> Counter[str]:
    """Return how many attempts of a period have each outcome. Raises DatabaseError."""
    tallies = tallies_of()
    rows = _counts(Attempt.objects.all(), first, last, tallies, Unit.MONTH, _state_of(tallies, first, last))
    counts: Counter[str] = Counter()
    for _, outcome, number, _ in rows:
        counts[outcome] += number
    return counts


def _state_of(tallies: Tallies | None, first: datetime | None, last: datetime | None) -> TallyState:
    known = kept_up(AttemptDay, Attempt)
    return TallyState.of(tallies.units if tallies else (), first or BEGINNING, last or END, known)


def _unit(by_month: bool) -> Unit:
    return Unit.MONTH if by_month else Unit.DAY


def _ends(
    rows: list[Count], since: datetime | None, until: datetime | None, now: datetime
) -> tuple[datetime, datetime]:
    """Return the first and the last moment that the chart shows: where there is no bound, those of the attempts."""
    names = [name for name, *_ in rows if is_name(Unit.DAY, f"{name}-01"[: Unit.DAY.letters])]
    last = until or max([now, *(end_of(name) - MOMENT for name in names)])
    return since or begin_of(min(names, default=last.isoformat())[: Unit.MONTH.letters]), last


def _counts(
    attempts: QuerySet[Attempt],
    first: datetime | None,
    last: datetime | None,
    tallies: Tallies | None,
    unit: Unit,
    state: TallyState,
) -> list[Count]:
    """Return the attempts of a period by day or month and by outcome, from tallies where they hold.

    A day or a month may come in parts. All are read in one statement, unless there are very many.
    """
    units = () if tallies is None else (Unit.DAY,) if unit == Unit.DAY else tallies.units
    tallied: list[Q] = []
    parts: list[QuerySet[Any, Any]] = []
    for source, begin, end in _parted(state, units, first or BEGINNING, last or END):
        if tallies is None or source is None:
            parts += _counted(attempts, begin, end, unit, state)
        else:
            tallied.append(_within("created_at", begin, end))
            names = (moment.isoformat()[: source.letters] for moment in (begin, end))
            sums = (
                tallies.rows.filter(_within("period", *names), unit=source).order_by().values_list("period", "outcome")
            )
            parts.append(sums.annotate(Sum("attempts"), Sum("customers")))  # in the order of their key
    if tallied:  # without those in doubt
        parts.append(_grouped(attempts_in_doubt(attempts.filter(reduce(or_, tallied))), unit))
    rows: list[Count] = []
    for number in range(0, len(parts), PARTS_AT_ONCE):
        some, *others = parts[number : number + PARTS_AT_ONCE]
        rows += some.union(*others, all=True)
    return [(name[: unit.letters], outcome, number, int(customers or 0)) for name, outcome, number, customers in rows]


def _parted(
    state: TallyState, units: Sequence[Unit], first: datetime, last: datetime
) -> Iterator[tuple[Unit | None, datetime, datetime]]:
    """Yield the parts of a period, each with the first of `units` whose tallies tell of it; None if none does."""
    if not units:
        yield None, first, last
        return
    for begin, end in tallied_spans(state, units[0], first, last):
        if first < begin:
            yield from _parted(state, units[1:], first, begin - MOMENT)
        yield units[0], begin, end
        first = end + MOMENT
    if first <= last:
        yield from _parted(state, units[1:], first, last)


def _within(column: str, first: Any, last: Any) -> Q:
    return Q(**{f"{column}__gte": first, f"{column}__lte": last})


def _counted(
    attempts: QuerySet[Attempt], first: datetime, last: datetime, unit: Unit, state: TallyState
) -> Iterator[QuerySet[Any, Any]]:
    """Yield the same from the attempts themselves, read in one pass, if there are any."""
    if keys := state.keys(first, last):
        yield _grouped(planned(_of_period(attempts, first, last).filter(_within("pk", *keys))), unit)


def _grouped(attempts: QuerySet[Attempt], unit: Unit) -> QuerySet[Any, Any]:
    rows: QuerySet[Any, Any] = attempts.order_by().values_list(Day(F("created_at"), digits=unit.letters), "outcome")
    counts: QuerySet[Any, Any] = rows.annotate(models.Count("pk"), Sum("customer_count"))
    return counts


def _of_period(attempts: QuerySet[Attempt], first: datetime | None, last: datetime | None) -> QuerySet[Attempt]:
    attempts = attempts.filter(created_at__gte=first) if first else attempts
    return attempts.filter(created_at__lte=last) if last else attempts


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
