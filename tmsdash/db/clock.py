"""What time it is, for all that share a database: leases, waits, back-offs and the ages of what was written there.

The clocks of several hosts differ. If each went by its own, one whose clock is ahead would take what another one holds.
So PostgreSQL's clock counts. A SQLite database is used on one host, whose own clock it is.

Nobody asks PostgreSQL for each time: how far the host's clock is from it is measured now and then, and at once when the
host's clock was set.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db import connections
from django.utils import timezone

MEASURED_FOR_S = 30
# Between question and answer a process may be frozen, or wait for its turn: nobody knows then which moment was told.
QUICK_S, TRIES = 0.05, 5
SET_S = 0.05  # by how much the host's clock may run on unlike the one that is never set; beyond, somebody has set it

# Clocks that are kept right differ by no more than measuring does: times of one host then run on evenly.
NEGLIGIBLE = timedelta(seconds=0.1)


class _Offset(NamedTuple):
    ahead: timedelta  # of the database's clock, before the host's
    uptime_s: float
    host_time: datetime

    @property
    def is_set(self) -> bool:
        """Whether somebody has set the host's clock since."""
        return abs((_host_time() - self.host_time).total_seconds() - self._elapsed_s) > SET_S

    @property
    def holds(self) -> bool:
        return self._elapsed_s < MEASURED_FOR_S and not self.is_set

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self.uptime_s


_offsets: dict[str, _Offset] = {}


def now(using: str) -> datetime:
    """Return the time by the clock that goes for a database. Raises DatabaseError if PostgreSQL cannot be asked."""
    if connections[using].vendor != "postgresql":
        return timezone.now()
    offset = _offsets.get(using)
    if offset is None or not offset.holds:
        offset = _offsets[using] = _measured(using)
    return timezone.now() + offset.ahead


def known_now(using: str) -> datetime:
    """Return the same without asking, and never fail: by how far the host's clock was from it when that was measured.

    If it was not yet, or somebody has set the host's clock since, it is the host's time.
    """
    offset = _offsets.get(using) if connections[using].vendor == "postgresql" else None
    return timezone.now() + (offset.ahead if offset and not offset.is_set else timedelta())


def _measured(using: str) -> _Offset:
    """Compare both clocks: by the quickest answer, if there was no quick one."""
    measured: list[tuple[float, _Offset]] = []
    with connections[using].cursor() as cursor:
        for _ in range(TRIES):
            asked_s = time.monotonic()
            cursor.execute("SELECT clock_timestamp()")  # not now(), when the transaction began
            [database_time] = cursor.fetchone()
            host_time, uptime_s = _host_time(), time.monotonic()
            ahead = database_time - host_time
            offset = _Offset(ahead if abs(ahead) > NEGLIGIBLE else timedelta(), uptime_s, host_time)
            measured.append((uptime_s - asked_s, offset))
            if uptime_s - asked_s < QUICK_S:
                break
    return min(measured)[1]


def _host_time() -> datetime:
    return datetime.now(UTC)
