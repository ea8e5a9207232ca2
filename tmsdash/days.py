"""Days in UTC, as people and addresses write them."""

import re
from contextlib import suppress
from datetime import UTC, date, datetime, time

from tmsdash.text import one_line


class NoDayError(ValueError):
    """A text is not a day. The message says so, and what would be right."""


def day_of(text: str) -> date:
    """Return the day that a text names as year-month-day; raises NoDayError."""
    with suppress(ValueError):  # such as the 30th of February
        if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text)
    raise NoDayError(f"{one_line(text, 20)} is no day. Write year-month-day, such as 2026-02-28.")


def first_moment(day: date) -> datetime:
    """Return when a day begins in UTC."""
    return datetime.combine(day, time.min, UTC)


def last_moment(day: date) -> datetime:
    """Return the last microsecond of a day in UTC."""
    return datetime.combine(day, time.max, UTC)
