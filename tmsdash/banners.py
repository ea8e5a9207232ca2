"""The banners on every page. Each process asks for them once in a while, and not for each page.

A page can do without them: while the database is away, the last ones that were read are shown.
"""

import threading
import time
from contextlib import suppress

from django.db import Error as AnyDatabaseError
from django.db.models import Q
from django.utils import timezone

from tmsdash.db.transactions import drop_if_broken
from tmsdash.models import Banner

KEPT_S = 5.0  # a banner may appear or go that much later than it was changed
MOST = 5  # at once, the newest; more would hide the page


class _Kept:
    """The banners that are not over, as they were read last, and when they are to be read again (monotonic clock)."""

    banners: tuple[Banner, ...] = ()
    until = 0.0


_kept = _Kept()
_reading = threading.Lock()


def shown_banners() -> list[Banner]:
    """Return the banners to show now, the oldest first. An error of the database leaves the last ones."""
    # One thread asks, and the others do not wait for it: the database may not answer for seconds.
    if time.monotonic() >= _kept.until and _reading.acquire(blocking=False):
        try:
            # ValueError: a database may hold what is no time.
            with suppress(AnyDatabaseError, ValueError), drop_if_broken("default"):
                _kept.banners = _read()
        finally:
            _kept.until = time.monotonic() + KEPT_S
            _reading.release()
    now = timezone.now()
    return [banner for banner in _kept.banners if banner.is_shown(now)][-MOST:]


def _read() -> tuple[Banner, ...]:
    is_over = Q(ends_at__lte=timezone.now())
    return tuple(Banner.objects.exclude(is_over).order_by("pk"))


def forget() -> None:
    """Read them again for the next page of this process: they were changed."""
    _kept.until = 0.0
