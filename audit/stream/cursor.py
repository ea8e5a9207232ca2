"""How far a stream has come: a row in the database of accounts, which only one process moves.

On a host a lock tells whether a stream is carried, and ends with its process. Other hosts see a lease, which the
process renews while it lives. Whoever finds that another one has taken its place stops.
"""

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from typing import NamedTuple

from django.db import Error as AnyDatabaseError

from audit.models import GENESIS, ChainHead
from tmsdash.db import clock
from tmsdash.db.locks import alone, place
from tmsdash.db.transactions import drop_if_broken, one_at_a_time, write_transaction
from tmsdash.models import AuditStream

DATABASE = "default"
LEASE = timedelta(seconds=60)
RENEWED_S = 20.0  # after which a lease is renewed; an output may keep its process for longer
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


class StreamError(Exception):
    """A stream cannot begin or go on; the text says why and what to do, in sentences."""


class Position(NamedTuple):
    """A place in the chain: behind the entry with this number and mac."""

    sequence: int
    mac: str


BEGINNING = Position(0, GENESIS)


class Cursor:
    """The cursor of a stream that this process carries. `position` is what is stored."""

    def __init__(self, name: str, position: Position, holder: str) -> None:
        self.name, self.position, self._holder = name, position, holder
        self._renewed = time.monotonic()

    def move(self, position: Position) -> None:
        """Store that the output took everything up to `position`. Raises DatabaseError and StreamError."""
        now = clock.now(DATABASE)
        self._update(sequence=position.sequence, mac=position.mac, moved_at=now, held_until=now + LEASE)
        self.position = position

    def renew(self) -> None:
        """Renew the lease if that is due."""
        if time.monotonic() - self._renewed >= RENEWED_S:
            self._update(held_until=clock.now(DATABASE) + LEASE)

    def release(self) -> None:
        """End the lease; another process may carry the stream at once."""
        self._update(held_until=None)

    def _update(self, **values: object) -> None:
        with write_transaction(DATABASE):
            is_ours = AuditStream.objects.filter(name=self.name, holder=self._holder).update(**values)
        if not is_ours:
            raise StreamError(
                f"The stream {self.name} was forgotten, or another process carries it now; this one ends."
            )
        self._renewed = time.monotonic()


@contextmanager
def carried(name: str, *, from_now: bool = False) -> Iterator[Cursor]:
    """Carry a stream during the block, from where it ended last.

    A new one begins with the first entry of the audit, or behind its last one. Raises StreamError if another process
    carries it, OSError if VAR_DIR cannot be used, DatabaseError.
    """
    with ExitStack() as stack:
        _keep_others_out(stack, name)
        cursor = _take(name, from_now=from_now)
        try:
            yield cursor
        finally:  # if that fails, the lease ends by itself
            with suppress(AnyDatabaseError, StreamError), drop_if_broken(DATABASE):
                cursor.release()


def forget(name: str) -> Position:
    """Remove the cursor of a stream that nobody carries; return where it was. Raises what `carried` does."""
    with ExitStack() as stack:
        _keep_others_out(stack, name)
        with write_transaction(DATABASE):
            row = _free_row(name)
            if row is None:
                known = ", ".join(AuditStream.objects.order_by("name").values_list("name", flat=True)) or "none"
                raise StreamError(f"There is no stream {name} to be forgotten. Streams: {known}.")
            row.delete()
    return Position(row.sequence, row.mac)


def _keep_others_out(stack: ExitStack, name: str) -> None:
    if not NAME.fullmatch(name):
        raise StreamError("The name of a stream has up to 32 characters: a to z, digits and hyphens.")
    try:
        stack.enter_context(alone(f"stream-{name}", lambda: None, wait_s=0))
    except TimeoutError:
        raise StreamError(
            f"Another process on this host carries the stream {name} already. End that one first, or give this one "
            "another --name: each stream has a cursor of its own."
        ) from None


def _take(name: str, *, from_now: bool) -> Cursor:
    end = ChainHead.objects.values_list("sequence", "mac").get() if from_now else BEGINNING
    holder = f"{place()}:{uuid.uuid4().hex}"
    with write_transaction(DATABASE):
        now = clock.now(DATABASE)
        row = _free_row(name) or AuditStream(name=name, sequence=end[0], mac=end[1], moved_at=now)
        row.holder, row.held_until = holder, now + LEASE
        row.save()
    return Cursor(name, Position(row.sequence, row.mac), holder)


def _free_row(name: str) -> AuditStream | None:
    """Return the row of a stream for the rest of the transaction, None if it is new; raises StreamError."""
    one_at_a_time(DATABASE, f"audit stream {name}")
    row = AuditStream.objects.filter(name=name).first()
    # Here the lock has told already that a process of this place is gone.
    if row and row.held_until and not row.holder.startswith(f"{place()}:"):
        left_s = (row.held_until - clock.now(DATABASE)).total_seconds()
        if left_s > 0:
            host = row.holder.partition(":")[0]
            raise StreamError(
                f"A process on the host {host} carries the stream {name}. End that one first, or give this one another "
                f"--name. If it is dead, try again in {left_s:.0f} s."
            )
    return row
