"""When a row was written: what its time says, and which instant that is.

1. A time with an offset, or in seconds or milliseconds since 1970, is an instant as it stands.
2. Any other is what a clock showed. Jobs have the clock of the old server (`datetime.now()`), the audit log that of
   SQLite (CURRENT_TIMESTAMP), which is UTC.
3. A clock that is put back shows an hour twice. The row of the audit log that belongs to the job tells which one it
   was; else the order of rows does: they were written one after the other, so the first of the two instants counts
   that is not before the row above. Where nothing tells, it is the first one.
4. A clock that is put forward leaves an hour out. A time in it was not written by this clock; it is read as if
   the clock had not been put forward yet, and reported.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from setactions.operations.legacy.values import BadRowError, shown, text_of

_SINCE_1970 = re.compile(r"\d{9,13}(\.\d+)?")
_MILLISECONDS_FROM = 10**11  # as seconds, that would be in the year 5138


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as it is written, and the instants (UTC) that it may mean: one, or two where the clock was put back.

    `zone` is the clock's, "" if the time says by itself which instant it is.
    """

    written: str
    instants: tuple[datetime, ...]
    zone: str = ""
    is_left_out: bool = False
    """Whether the clock never showed it, as it was put forward."""

    @property
    def is_shown_twice(self) -> bool:
        return len(self.instants) == 2


def moment_of(value: Any, zone: tzinfo) -> Moment:
    """Return the moment of a time; raises BadRowError if it is none."""
    text = text_of(value)
    try:
        if _SINCE_1970.fullmatch(text):
            number = float(text)
            seconds = number / 1000 if number >= _MILLISECONDS_FROM else number
            return Moment(text, (datetime.fromtimestamp(seconds, UTC),))
        time = datetime.fromisoformat(text)
        if time.tzinfo:
            return Moment(text, (time.astimezone(UTC),))
        first, second = (time.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    except (ValueError, OverflowError, OSError):
        raise BadRowError(f"{shown(value)} is no time") from None
    instants = (first, second) if first < second else (first,)
    return Moment(text, instants, str(zone), is_left_out=first > second)
