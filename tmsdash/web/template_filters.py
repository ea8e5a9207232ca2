"""Filters that every template has, for what stands in each row of a list.

A filter takes a tenth of the time of an included template, or of Django's own filters, which look up languages and
formats for each value.
"""

from datetime import UTC, datetime, tzinfo
from functools import cache
from typing import Any

from django import template
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from django.utils.timesince import MONTHS_DAYS

from tmsdash.text import shown_id
from tmsdash.web import kept_forms

register = template.Library()

_HOURS = (("hour", 3600), ("minute", 60), ("second", 1))


@register.filter
def number(value: Any) -> str:
    """Return a whole number with commas, such as 27,682; whatever else a database may hold, as text."""
    return f"{value:,}" if isinstance(value, int) else str(value)


register.filter("shown_id", shown_id)


@register.filter
def shown_time(at: datetime | None) -> SafeString:
    """Return a time with how long ago that is, which a script keeps up to date, and on hover the time in UTC.

    A database may hold what is no time, which Django reads as none: that row must not take the whole list away.
    """
    if at is None:
        return SafeString("unknown")
    ago = ago_in_words(at, timezone.now())
    return mark_safe(f'<time{precise(at)} data-ago>{written_time(at)} <span class="ago">({ago})</span></time>')  # noqa: S308 (no text from outside)


@register.filter
def shown_clock(at: datetime | None) -> SafeString:
    """Return a time for a narrow column: the time of the day with its zone, and the date; "" if none."""
    if at is None:
        return SafeString()
    day, clock = written_time(at).split(" ", 1)
    return mark_safe(f'<time{precise(at)}>{clock} <span class="ago">{day}</span></time>')  # noqa: S308 (no text from outside)


@register.filter
def written_time(at: datetime) -> str:
    """Return a time as plain text, such as 2026-03-01 14:05:09 CET: in the zone that Django has activated."""
    local = in_shown_zone(at)
    return f"{local.isoformat(' ', 'seconds')[:19]} {local.tzname()}"


def in_shown_zone(at: datetime) -> datetime:
    """Return a time in the zone that Django has activated."""
    return in_zone(at, timezone.get_current_timezone())


def in_zone(at: datetime, zone: tzinfo) -> datetime:
    """Return a time in a zone; in UTC, where a calendar of that zone ends before it."""
    try:
        return at.astimezone(zone)
    except OverflowError:  # in the years 1 and 9999
        return at.astimezone(UTC)


def precise(at: datetime) -> str:
    """Return the attributes with which an element tells a time to scripts in full, and on hover in UTC."""
    moment = at.astimezone(UTC).isoformat()
    return f' datetime="{moment}" title="{moment[:10]} {moment[11:19]} UTC"'


@register.filter
def authored(address: str, user: Any) -> str:
    """Return the address that a form of `user` is posted to, by which what they type is kept for them."""
    return kept_forms.authored(address, user)


@register.filter
def ago(at: datetime) -> SafeString:
    """Return how long ago a time is, or how long it will be until then; on hover the time itself."""
    return mark_safe(f"<time{precise(at)}>{ago_in_words(at, timezone.now())}</time>")  # noqa: S308 (no text from outside)


def ago_in_words(at: datetime, now: datetime) -> str:
    """Return how long before or after `now` a time is, in the words of Django's naturaltime."""
    difference = abs(now - at)
    seconds = difference.seconds
    if difference.days:
        span = _days_in_words(*sorted((at, now)))
    elif seconds:
        span = _hours_in_words(seconds if seconds < 60 else seconds - seconds % 60)
    else:
        return "now"
    return f"{span} {'ago' if at < now else 'from now'}"


@cache  # each row of a list has one; a day has no more than its minutes and some seconds
def _hours_in_words(seconds: int) -> str:
    unit, length = next((unit, length) for unit, length in _HOURS if seconds >= length)
    count = seconds // length
    return f"{count}\xa0{unit}s" if count > 1 else f"{'an' if unit == 'hour' else 'a'} {unit}"


def _days_in_words(earlier: datetime, later: datetime) -> str:
    """Return a day or more in the largest two units that follow each other, as in "1 year, 2 months"."""
    months = 12 * (later.year - earlier.year) + later.month - earlier.month
    if (earlier.day, earlier.time()) > (later.day, later.time()):
        months -= 1
    year, month = divmod(12 * earlier.year + earlier.month - 1 + months, 12)
    day = min(earlier.day, MONTHS_DAYS[month])
    rest = later - (earlier.replace(year=year, month=month + 1, day=day) if months else earlier)
    counts = {
        "year": months // 12,
        "month": months % 12,
        "week": rest.days // 7,
        "day": rest.days % 7,
        "hour": rest.seconds // 3600,
    }
    units = list(counts)
    first = next(place for place, unit in enumerate(units) if counts[unit])
    named = [(counts[unit], unit) for unit in units[first : first + 2] if counts[unit]]
    return ", ".join(f"{count}\xa0{unit}{'s' * (count > 1)}" for count, unit in named)
