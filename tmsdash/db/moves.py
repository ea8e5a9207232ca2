"""Databases that `move_data` has moved elsewhere or fills just now: nothing else may use them.

1. A mark is a table in the database itself. It is in the source of a move from before the first row is read, and stays
   there when the move is over; it is in the target until everything there was compared.
2. So at no moment can both be used, wherever the move was killed, and a copy that was interrupted goes on with a source
   that nobody has changed meanwhile.
3. Every new connection looks for the mark, whoever makes it, and through a pooler every use of one. Only the command
   that moves is let in.
"""

import enum
from dataclasses import dataclass
from typing import Any

from django.db import Error as AnyDatabaseError
from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

from tmsdash import startup
from tmsdash.db.postgresql import is_pooled
from tmsdash.db.transactions import VARIABLES

COMMAND = "move_data"
TABLE = "tmsdash_move"
PROGRESS = f"{TABLE}_progress"  # in a target: how far each of its tables is
_EXISTS = {
    "sqlite": f"SELECT 1 FROM sqlite_master WHERE name = '{TABLE}'",  # noqa: S608 (constants)
    "postgresql": f"SELECT 1 WHERE to_regclass('{TABLE}') IS NOT NULL",
}
_CHECKED = "tmsdash_not_moved"  # an attribute of a connection of psycopg, which outlives Django's in a pool


class MovedError(OperationalError):
    """The database was moved, or is being filled. The text is a sentence that says what to do."""


class Role(enum.StrEnum):
    """What a database is in a move."""

    SOURCE = "source"
    MOVED = "moved"  # the source of a move that is over
    TARGET = "target"


@dataclass(frozen=True)
class Mark:
    """A database's part in a move: its role, the other database (without user and password), and when (UTC)."""

    move_id: str
    role: Role
    other: str
    at: str

    def save(self, session: Any, placeholder: str) -> None:
        """Put the mark into a database without one, or in the place of the one that it has, in one transaction."""
        session.execute("BEGIN")
        session.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (move_id text, role text, other text, at text)")
        session.execute(f"DELETE FROM {TABLE}")  # noqa: S608 (constants)
        marks = ", ".join([placeholder] * 4)
        session.execute(f"INSERT INTO {TABLE} VALUES ({marks})", [self.move_id, self.role, self.other, self.at])  # noqa: S608 (constants)
        if placeholder == "%s":  # PostgreSQL's; a role that only serves must be able to read why it may not
            session.execute(f"GRANT SELECT ON {TABLE} TO PUBLIC")
        session.execute("COMMIT")

    @property
    def sentence(self) -> str:
        """Why the database may not be used, and what to do."""
        if self.role == Role.TARGET:
            return (
                f"move_data began on {self.at} to fill it from {self.other}, and has not finished. Run the same "
                "move_data again."
            )
        undo = f"manage.py {COMMAND} --undo --from URL, with its own URL"
        if self.role == Role.SOURCE:
            return (
                f"It has been on the move to {self.other} since {self.at}. Run the same move_data again; or, to give "
                f"the move up, run {undo}."
            )
        return (
            f"It was moved to {self.other} on {self.at}, and the site goes on there: name that one in the settings. If "
            f"nothing was written there and this one is to be used again, run {undo}."
        )


def mark_of(connection: BaseDatabaseWrapper) -> Mark | None:
    """Return the mark of the database that Django is connected to, None if it has none."""
    # Not by a cursor of Django's, which would ask for a connection while one is being made.
    session = connection.connection
    with connection.wrap_database_errors:
        if not session.execute(_EXISTS[connection.vendor]).fetchone():
            return None
        row = session.execute(f"SELECT move_id, role, other, at FROM {TABLE}").fetchone()  # noqa: S608 (constants)
    move_id, role, other, at = row or ("", Role.TARGET, "a database", "a day")
    return Mark(move_id, Role(role), other, at)


def assert_in_place() -> None:
    """Raise MovedError if a database of this process has a mark; one that does not answer is left to others."""
    for connection in connections.all() if startup.command != COMMAND else ():
        try:
            connection.ensure_connection()
        except MovedError:
            raise
        except AnyDatabaseError:
            continue


@receiver(connection_created)
def _refuse(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    session = connection.connection
    is_checked = getattr(session, _CHECKED, None)
    if session is None or startup.command == COMMAND or is_checked:
        return  # another receiver has refused it; or it is a known one of the pool
    mark = mark_of(connection)
    if mark:
        connection.close()
        variable = VARIABLES[connection.alias]
        raise MovedError(f"Nothing may use the database {connection.alias!r} ({variable}). {mark.sentence}")
    if connection.vendor == "postgresql" and is_checked is None:
        # A move counts the sessions of PostgreSQL. One with a pooler may have none of these while it idles, so whoever
        # takes it from our pool looks for the mark each time.
        setattr(session, _CHECKED, not is_pooled(session))
