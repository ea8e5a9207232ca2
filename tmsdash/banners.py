"""The banners on every page: what administrators tell everybody, and to staff the timers that need attention.

Each process asks for both with one query once in a while, and not for each page. A page can do without them: while the
database is away, the last ones that were read are shown.
"""

import threading
import time
from contextlib import suppress
from typing import Any, NamedTuple

from django.db import Error as AnyDatabaseError
from django.db.models import IntegerField, Q, Value
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.utils import timezone

from tmsdash import timers
from tmsdash.db.transactions import drop_if_broken
from tmsdash.models import Banner
from tmsdash.timers import TimerState

KEPT_S = 5.0  # either may appear or go that much later than it changed
MOST = 5  # banners at once, the newest; more would hide the page
_TIMER = "timer"  # what is no kind of banner


class _News(NamedTuple):
    banners: tuple[Banner, ...] = ()
    timers: tuple[TimerState, ...] = ()


class _Kept:
    """What was read last, and when it is to be read again (monotonic clock)."""

    def __init__(self) -> None:
        self.news = _News()
        self.until = 0.0
        self._reading = threading.Lock()

    def current(self) -> _News:
        """Return both, read again if it is time. An error of the database leaves the last ones."""
        # One thread asks, and the others do not wait for it: the database may not answer for seconds.
        if time.monotonic() >= self.until and self._reading.acquire(blocking=False):
            try:
                # ValueError: a database may hold what is no time.
                with suppress(AnyDatabaseError, ValueError), drop_if_broken("default"):
                    self.news = _read()
            finally:
                self.until = time.monotonic() + KEPT_S
                self._reading.release()
        return self.news


def _read() -> _News:
    is_over = Q(ends_at__lte=timezone.now())
    banners = Banner.objects.order_by().exclude(is_over).values_list("pk", "kind", "text", "begins_at", "ends_at")
    succeeded = Cast("succeeded", IntegerField())
    runs, since = (
        part.values_list(succeeded, Value(_TIMER), "name", "ended_at", "succeeded_at") for part in timers.recorded()
    )
    rows = sorted(banners.union(runs, since, all=True), key=lambda row: row[0])
    return _News(
        tuple(
            Banner(pk=pk, kind=kind, text=text, begins_at=begins_at, ends_at=ends_at)
            for pk, kind, text, begins_at, ends_at in rows
            if kind != _TIMER
        ),
        tuple(
            timers.needing_attention(
                (name, ended_at, bool(succeeded), succeeded_at)
                for succeeded, kind, name, ended_at, succeeded_at in rows
                if kind == _TIMER
            )
        ),
    )


_kept = _Kept()


def shown_banners() -> list[Banner]:
    """Return the banners to show now, the oldest first."""
    now = timezone.now()
    return [banner for banner in _kept.current().banners if banner.is_shown(now)][-MOST:]


def shown_timers(request: HttpRequest) -> tuple[TimerState, ...]:
    """Return the timers that need attention; none for visitors who are not staff, or not known to be."""
    user: Any = getattr(request, "user", None)
    with suppress(AnyDatabaseError), drop_if_broken("default"):
        return _kept.current().timers if user is not None and user.is_staff else ()
    return ()


def forget() -> None:
    """Read both again for the next page of this process: they were changed."""
    _kept.until = 0.0
