"""The rows of a list by days, in the zone that its times are shown in.

1. The rows keep the order of the list. A day begins where the day changes, so an old row that was recorded late has a
   heading of its own, and its day may have two.
2. A day's heading names the zone, so the rows below it show the time of the day alone. Where the clock is changed, the
   heading names both zones, and so does each row its own.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from functools import cache, lru_cache
from itertools import groupby
from operator import attrgetter
from typing import Any

from django import template
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe

from tmsdash.days import first_moment, last_moment
from tmsdash.web.template_filters import ago_in_words, in_shown_zone, in_zone, precise

register = template.Library()

RECENT = timedelta(days=1)  # so old a row may be for its age in hours to say more than its day does


@dataclass(frozen=True)
class DayGroup:
    """The rows of a list on one day; None for those without a time."""

    day: date | None
    rows: list[Any]


@register.filter
def by_day(rows: Iterable[Any], path: str) -> list[DayGroup]:
    """Group rows by the day of the time that each has at `path`, such as "attempt.created_at"."""
    return [*grouped(rows, attrgetter(path))]


@register.filter
def clock_of_day(at: datetime | None) -> SafeString:
    """Return a time for a row below the heading of its day: to the second, and how long ago if that is hours."""
    return day_clock()(at)[1]


def day_clock() -> Callable[[datetime | None], tuple[date | None, SafeString]]:
    """Return what tells the day of a time, where it is shown, and its clock: for many rows, since it knows the zone."""
    zone, now = timezone.get_current_timezone(), timezone.now()
    names_zone = cache(lambda day: len(zones_of_day(day, zone)) > 1)

    def day_and_clock(at: datetime | None) -> tuple[date | None, SafeString]:
        if at is None:
            return None, SafeString("unknown")
        local = in_zone(at, zone)
        day, clock = local.date(), local.isoformat(timespec="seconds")[11:19]
        if names_zone(day):
            clock = f"{clock} {local.tzname()}"
        if abs(now - at) >= RECENT:
            return day, mark_safe(f"<time{precise(at)}>{clock}</time>")  # noqa: S308 (no text from outside)
        ago = ago_in_words(at, now)
        return day, mark_safe(f'<time{precise(at)} data-ago>{clock} <span class="ago">({ago})</span></time>')  # noqa: S308 (no text from outside)

    return day_and_clock


def grouped(rows: Iterable[Any], time_of: Callable[[Any], datetime | None]) -> Iterator[DayGroup]:
    """Yield the rows by days, in their order; `time_of` returns the time of a row."""
    for day, members in groupby(rows, lambda row: shown_day(time_of(row))):
        yield DayGroup(day, list(members))


def shown_day(at: datetime | None) -> date | None:
    """Return the day on which a time is, where it is shown; None if a row has no time."""
    return in_shown_zone(at).date() if at else None


def heading_of(day: date | None) -> SafeString:
    """Return a day with its zone, such as "Today · Sunday, 29 November 2026 · CET".

    The first word goes when the day does, see static/tmsdash.js.
    """
    if day is None:
        return SafeString("Time unknown")
    today = in_shown_zone(timezone.now()).date()
    names = {today: "Today · ", today - timedelta(days=1): "Yesterday · "}
    zones = " and ".join(zones_of_day(day, timezone.get_current_timezone()))
    name = f'<span data-day="{day}">{names[day]}</span>' if day in names else ""
    return mark_safe(f"{name}{day:%A}, {day.day} {day:%B} {day.year} · {zones}")  # noqa: S308 (no text from outside)


@register.simple_tag
def heading_row(day: date | None, columns: int | str) -> SafeString:
    """Return the row of a table with so many columns that stands above the rows of a day."""
    return mark_safe(f'<tr class="day"><th colspan="{columns}" scope="rowgroup">{heading_of(day)}</th></tr>')  # noqa: S308 (no text from outside)


@lru_cache(1000)
def zones_of_day(day: date, zone: tzinfo) -> tuple[str, ...]:
    """Return the short names that a zone has on a day: two, if the clock is changed on it."""
    moments = first_moment(day, zone), last_moment(day, zone)
    return tuple(dict.fromkeys(str(in_zone(moment, zone).tzname()) for moment in moments))
