"""A host's two clocks: the one that tells the time and may be set, and the one that only ever runs on."""

import time
import uuid
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from django.utils import timezone

CLOCK_SKEW_S = 60  # how far apart the clocks of the site's hosts may be
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Moment:
    """A moment by both clocks: the time, and the seconds since a boot of a host, which `boot_id` names."""

    at: datetime
    uptime_s: float
    boot_id: str

    def seconds_since(self, earlier: "Moment") -> float | None:
        """Return how many seconds have surely passed: by that clock that says less. None if that cannot be known.

        It cannot if the moments are of different hosts or boots, or the time was set back in between.
        """
        seconds = min(self.uptime_s - earlier.uptime_s, (self.at - earlier.at).total_seconds())
        return seconds if self.boot_id == earlier.boot_id and seconds >= 0 else None


def now() -> Moment:
    """Return this moment."""
    return Moment(timezone.now(), time.monotonic(), _boot_id())


@cache
def _boot_id() -> str:
    """Return what names this boot of this host; outside Linux, this process, so that none is mistaken for another."""
    return _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else uuid.uuid4().hex
