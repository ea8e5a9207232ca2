"""The banners on every page: what administrators tell everybody, and to staff the timers that need attention.

Each process asks for them once in a while, and not for each page. A page can do without them: while the database is
away, the last ones that were read are shown.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from django.db import Error as AnyDatabaseError
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone

from tmsdash import timers
from tmsdash.db.transactions import drop_if_broken
from tmsdash.models import Banner
from tmsdash.timers import TimerState

KEPT_S = 5.0  # a banner may appear or go that much later than it was changed
TIMERS_KEPT_S = 30.0  # they are late by minutes
MOST = 5  # at once, the newest; more would hide the page

Row = TypeVar("Row")


class _Kept(Generic[Row]):
    """Rows as they were read last, and when they are to be read again (monotonic clock)."""

    def __init__(self, read: Callable[[], tuple[Row, ...]], kept_s: float) -> None:
        self.rows: tuple[Row, ...] = ()
        self.until = 0.0
        self._read, self._kept_s = read, kept_s
        self._reading = threading.Lock()

    def current(self) -> tuple[Row, ...]:
        """Return the rows, read again if it is time. An error of the database leaves the last ones."""
        # One thread asks, and the others do not wait for it: the database may not answer for seconds.
        if time.monotonic() >= self.until and self._reading.acquire(blocking=False):
            try:
                # ValueError: a database may hold what is no time.
                with suppress(AnyDatabaseError, ValueError), drop_if_broken("default"):
                    self.rows = self._read()
            finally:
                self.until = time.monotonic() + self._kept_s
                self._reading.release()
        return self.rows


def _read() -> tuple[Banner, ...]:
    is_over = Q(ends_at__lte=timezone.now())
    return tuple(Banner.objects.exclude(is_over).order_by("pk"))


def _read_timers() -> tuple[TimerState, ...]:
    return tuple(timers.needing_attention())


_kept = _Kept(_read, KEPT_S)
_kept_timers = _Kept(_read_timers, TIMERS_KEPT_S)


def shown_banners() -> list[Banner]:
    """Return the banners to show now, the oldest first."""
    now = timezone.now()
    return [banner for banner in _kept.current() if banner.is_shown(now)][-MOST:]


def shown_timers(request: HttpRequest) -> tuple[TimerState, ...]:
    """Return the timers that need attention; none for visitors who are not staff, or not known to be."""
    user: Any = getattr(request, "user", None)
    with suppress(AnyDatabaseError), drop_if_broken("default"):
        return _kept_timers.current() if user is not None and user.is_staff else ()
    return ()


def forget() -> None:
    """Read all of them again for the next page of this process: they were changed."""
    _kept.until = _kept_timers.until = 0.0
