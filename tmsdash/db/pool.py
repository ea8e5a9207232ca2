"""The connections to a PostgreSQL database that a process keeps for its next thread.

1. Who needs a connection and finds none opens one by itself, at once. Whether the server is away is the answer of that
   moment: nobody waits for a background thread that has postponed its next try, and nobody joins a queue in vain.
2. A connection is tried before it is handed out. One that is dead tells of a server that was restarted or replaced, so
   the others that were kept go with it untried: on a host that has vanished each try would take seconds.
3. What comes back in the middle of a transaction is closed, which rolls back.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from psycopg import Connection, Error, OperationalError
from psycopg.pq import TransactionStatus

MAX_IDLE_S = 600  # that a connection is kept unused
MAX_AGE_S = 3600  # before a connection is replaced, so that the server's process for it does not grow for ever


class Pool:
    """At most `max_size` connections at once; Django calls these methods by the names that psycopg's own pool has."""

    def __init__(self, connect: Callable[[], Connection[Any]], *, max_size: int, wait_s: float) -> None:
        """Prepare; `connect` opens a connection in autocommit mode, for which a thread waits `wait_s` for its slot."""
        self._connect, self._max_size, self._wait_s = connect, max_size, wait_s
        self._slots = threading.BoundedSemaphore(max_size)
        self._guard = threading.Lock()
        self._kept: deque[tuple[Connection[Any], float]] = deque()  # with the time of its return, latest last
        self._is_closed = False

    def open(self) -> None:
        """Do nothing: connections are opened when they are needed."""

    def getconn(self) -> Connection[Any]:
        """Return a connection that works, for `putconn`. Raises psycopg.Error."""
        if not self._slots.acquire(timeout=self._wait_s):
            raise OperationalError(
                f"all {self._max_size} connections of this process were in use for {self._wait_s:.0f} s; "
                "raise WEB_THREADS or lower TMS_MAX_IN_FLIGHT"
            )
        try:
            connection = self._living() or self._opened()
        except BaseException:
            self._slots.release()
            raise
        connection._pool = self  # where Django looks for it
        return connection

    def putconn(self, connection: Connection[Any]) -> None:
        """Take back what `getconn` returned."""
        connection._pool = None
        try:
            now = time.monotonic()
            is_young = now - connection.tmsdash_opened < MAX_AGE_S  # type: ignore[attr-defined]
            is_usable = connection.pgconn.transaction_status == TransactionStatus.IDLE and is_young
            if is_usable:
                connection.autocommit = True
            with self._guard:
                is_usable = is_usable and not self._is_closed
                if is_usable:
                    self._kept.append((connection, now))
                stale = []
                while self._kept and now - self._kept[0][1] > MAX_IDLE_S:
                    stale.append(self._kept.popleft()[0])
            for other in stale if is_usable else [*stale, connection]:
                other.close()
        finally:
            self._slots.release()

    def close(self) -> None:
        """Close what is kept; what is in use is closed when it comes back."""
        self._is_closed = True
        self._drop_kept()

    def _living(self) -> Connection[Any] | None:
        """Return the connection that came back last, if it still works; else the pool keeps none."""
        with self._guard:
            if not self._kept:
                return None
            connection, _ = self._kept.pop()
        try:
            connection.execute("")
        except Error:
            connection.close()
            self._drop_kept()
            return None
        return connection

    def _opened(self) -> Connection[Any]:
        connection = self._connect()
        connection.tmsdash_opened = time.monotonic()  # type: ignore[attr-defined]
        return connection

    def _drop_kept(self) -> None:
        with self._guard:
            kept, self._kept = self._kept, deque()
        for connection, _ in kept:
            connection.close()
