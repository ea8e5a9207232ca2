"""Attempts summed up for auditors: by day and by outcome, with a chart and the most frequent errors."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Count, F, Max, Min, QuerySet, Sum
from django.utils import timezone

from audit.choices import ACCEPTED_OUTCOMES, Outcome, OutcomeGroup
from audit.models import Attempt
from tmsdash.db.expressions import Day

DAYS_SHOWN = 92  # a longer period is shown in months
MONTHS_SHOWN = 120  # a longer one only from the first to the last month with attempts: it may be all of time
ERRORS_SHOWN = 5
# The chart's units; it is scaled to its place.
WIDTH, HEIGHT, GAP = 900, 120, 0.25


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


def summarize(attempts: QuerySet[Attempt], first: datetime | None, last: datetime | None) -> AttemptSummary:
    """Sum up attempts. `first` and `last` are the bounds of the period; None where it has none."""
    attempts = attempts.order_by()
    if first is None or last is None:
        ends = attempts.aggregate(first=Min("created_at"), last=Max("created_at"))
        first = first or ends["first"] or timezone.now()
        last = last or max(timezone.now(), ends["last"] or first)
    by_month = (last - first).days > DAYS_SHOWN
    digits = 7 if by_month else 10
    rows = attempts.values_list(Day(F("created_at"), digits=digits), "outcome").annotate(Count("pk"))
    counts: defaultdict[str, Counter[OutcomeGroup]] = defaultdict(Counter)
    outcomes: Counter[Outcome] = Counter()
    for name, value, count in rows:
        outcome = Outcome(value)
        counts[name][outcome.group] += count
        outcomes[outcome] += count
    names = _months(first.date(), last.date(), sorted(counts)) if by_month else _days(first.date(), last.date())
    errors = attempts.exclude(error_message="").values_list("error_message").annotate(count=Count("pk"))
    accepted = attempts.filter(outcome__in=ACCEPTED_OUTCOMES).aggregate(sum=Sum("customer_count"))["sum"]
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
        customers=accepted or 0,
        outcomes=[(str(outcome.label), outcome.group.value, count) for outcome, count in outcomes.most_common()],
        errors=list(errors.order_by("-count", "error_message")[:ERRORS_SHOWN]),
        most=most,
    )


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
