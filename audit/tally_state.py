"""What tells which tallies hold: read at once for a period, with the keys that its attempts have."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

from django.db.models import Count, F, Max, Min, Q, QuerySet, Value

from audit.choices import IN_DOUBT_OUTCOMES
from audit.models import Attempt, AttemptDay, TalliedPeriod, Unit
from tmsdash.db.day_ranges import last_known
from tmsdash.db.expressions import Day
from tmsdash.db.plans import planned

IN_DOUBT = Q(outcome__in=IN_DOUBT_OUTCOMES)
_UNTALLIED = (-1, 0)

Keys = tuple[int, int]  # of the first and the last attempt


class TallyState:
    """The keys of the attempts of each day, how many of a day are in doubt, and of which state each tally tells."""

    def __init__(
        self, days: dict[str, Keys], in_doubt: Counter[str], tallied: dict[tuple[str, str], tuple[int, int]]
    ) -> None:
        self._days, self._in_doubt, self._tallied = days, in_doubt, tallied
        self._newest = cache(self._newest_of)
        self._doubts = cache(self._doubts_of)

    @classmethod
    def of(cls, units: Iterable[Unit], first: datetime, last: datetime, known: int | None = None) -> "TallyState":
        """Read it for a period, in one statement behind that which tells up to which key the days are `known`.

        Nothing is written, so that an audit that is verified stays as it is: whoever may extend the days does so first.
        """
        known = last_known(AttemptDay) if known is None else known
        begin, end = name_of(Unit.DAY, first), name_of(Unit.DAY, last)
        parts: list[QuerySet[Any, Any]] = [
            TalliedPeriod.objects.filter(unit=unit, period__range=(name_of(unit, first), name_of(unit, last)))
            .order_by()
            .values_list(Value(unit.value), "period", "last_key", "in_doubt")
            for unit in units
        ]
        days = AttemptDay.objects.filter(day__range=(begin, end)).order_by()
        parts.append(days.values_list(Value(_DAYS), Day(F("day"), digits=10), "first", "last"))
        behind = Attempt.objects.filter(pk__gt=known).order_by()
        parts.append(behind.values_list(Value(_DAYS), period_of(Unit.DAY)).annotate(Min("pk"), Max("pk")))
        in_doubt = attempts_in_doubt(Attempt.objects.order_by())
        parts.append(in_doubt.values_list(Value(_IN_DOUBT), period_of(Unit.DAY), Value(0)).annotate(Count("pk")))
        state = cls({}, Counter(), {})
        for kind, name, low, high in parts[0].union(*parts[1:], all=True):
            state._add(kind, name, low, high)
        return state

    def _add(self, kind: str, name: str | None, low: int, high: int) -> None:
        if name is None:  # a database may hold an attempt without its time
            return
        if kind == _DAYS:
            known_low, known_high = self._days.get(name, (low, high))
            self._days[name] = min(low, known_low), max(high, known_high)
        elif kind == _IN_DOUBT:
            self._in_doubt[name] = high
        else:
            self._tallied[kind, name] = low, high

    @property
    def first_day(self) -> str | None:
        """The first day that has attempts, if any has."""
        return min((day for day in self._days if is_name(Unit.DAY, day)), default=None)

    def keys(self, first: datetime, last: datetime) -> Keys | None:
        """Return bounds of the keys of all attempts of a part of the period; None if there are none.

        Others may be within them, too, so their time has to be tested.
        """
        begin, end = name_of(Unit.DAY, first), name_of(Unit.DAY, last)
        keys = [keys for day, keys in self._days.items() if begin <= day <= end]
        return (min(low for low, _ in keys), max(high for _, high in keys)) if keys else None

    def names(self, unit: Unit) -> list[str]:
        """Return the days or months that have attempts or a tally. A database may hold what is neither."""
        tallied = {name for tallied_unit, name in self._tallied if tallied_unit == unit}
        return sorted(name for name in self._newest(unit).keys() | tallied if is_name(unit, name))

    def last_key(self, unit: Unit, name: str) -> int:
        """Return up to which attempt the tally of a day or month goes; -1 if there is none."""
        return self._tallied.get((unit, name), _UNTALLIED)[0]

    def holds(self, unit: Unit, name: str) -> bool:
        """Tell whether the tally of a day or month is what its attempts amount to."""
        last_key, in_doubt = self._tallied.get((unit, name), _UNTALLIED)
        return last_key >= self._newest(unit).get(name, 0) and in_doubt == self._doubts(unit)[name]

    def _newest_of(self, unit: Unit) -> dict[str, int]:
        newest: defaultdict[str, int] = defaultdict(int)
        for day, (_, last) in self._days.items():
            newest[day[: unit.letters]] = max(last, newest[day[: unit.letters]])
        return newest

    def _doubts_of(self, unit: Unit) -> Counter[str]:
        in_doubt: Counter[str] = Counter()
        for day, count in self._in_doubt.items():
            in_doubt[day[: unit.letters]] += count
        return in_doubt


_DAYS, _IN_DOUBT = "days", "doubt"  # besides the units


def attempts_in_doubt(attempts: QuerySet[Attempt]) -> QuerySet[Attempt]:
    """Return those that tallies leave out."""
    return planned(attempts.filter(IN_DOUBT, is_open=True), through="is_open")


def period_of(unit: Unit) -> Day:
    """Return the day or month of an attempt, as text: a database may hold what is no time."""
    return Day(F("created_at"), digits=unit.letters)


def name_of(unit: Unit, moment: datetime) -> str:
    """Return the day or month of a moment, in UTC."""
    return moment.astimezone(UTC).isoformat()[: unit.letters]  # strftime writes the year 1 with one digit


def is_name(unit: Unit, text: str) -> bool:
    """Tell whether a text is what days or months are called."""
    try:
        return date.fromisoformat(f"{text}-01"[:10]).isoformat()[: unit.letters] == text
    except ValueError:
        return False
