"""Days as people and addresses write them: days of a zone, of UTC unless one is named.

A day of a zone has 23 or 25 hours where a clock is changed, and may begin at another hour than midnight.
"""

import re
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from tmsdash.text import one_line

_MOMENT = timedelta(microseconds=1)


class NoDayError(ValueError):
    """A text is not a day. The message says so, and what would be right."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{one_line(text, 20)} is no day. Write year-month-day, such as 2026-02-28.")


def day_of(text: str) -> date:
    """Return the day that a text names as year-month-day; raises NoDayError."""
    with suppress(ValueError):  # such as the 30th of February
        if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text)
    raise NoDayError(text)


def first_moment(day: date, zone: tzinfo = UTC) -> datetime:
    """Return when a day of `zone` begins, in UTC.

    Midnight may come twice, of which the first counts, or never: then the day begins where the clock is put forward.
    """
    try:
        return datetime.combine(day, time.min, zone).astimezone(UTC)
    except OverflowError:  # in the year 1
        return datetime.min.replace(tzinfo=UTC)


def last_moment(day: date, zone: tzinfo = UTC) -> datetime:
    """Return the last microsecond of a day of `zone`, in UTC."""
    try:
        return first_moment(day + timedelta(days=1), zone) - _MOMENT
    except OverflowError:  # in the year 9999
        return datetime.max.replace(tzinfo=UTC)
