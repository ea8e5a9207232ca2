"""The database that is moved: nobody else uses it meanwhile, and nobody uses it afterwards."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from django.db import OperationalError, connections

from setactions.operations.backups.engine import Database
from setactions.operations.backups.postgresql import PostgresqlDatabase
from setactions.operations.backups.sqlite import SqliteDatabase
from setactions.operations.moves.places import MoveError, Place
from setactions.operations.moves.sessions import Session, session_with
from tmsdash.db.locks import held_alone
from tmsdash.db.moves import TABLE, Mark, Role, mark_of

LOCK_WAIT_MS = 20_000


def mark_at(alias: str) -> Mark | None:
    """Return the mark of the database that is used as `alias`."""
    connections[alias].ensure_connection()
    return mark_of(connections[alias])


@contextmanager
def held(database: Database, mark: Mark) -> Iterator[Session]:
    """Mark a database as the source of a move, and keep everybody from writing to it until the block has ended.

    Raises BackupError if anybody is connected.
    """
    database.connection.close()
    if isinstance(database, SqliteDatabase):
        with held_alone(database.path) as is_alone:
            if not is_alone:
                raise database.in_use()
            with closing(session_with(database)) as session:
                try:  # only the last connection can leave WAL mode
                    session.execute("PRAGMA busy_timeout = 0")
                    session.execute("PRAGMA journal_mode = DELETE")
                except OperationalError as error:
                    raise database.in_use() from error
                mark.save(session, session.placeholder)
                session.execute("BEGIN EXCLUSIVE")
                yield session
        return
    assert isinstance(database, PostgresqlDatabase)  # noqa: S101 (there is no third engine)
    database.assert_unused()
    with closing(session_with(database)) as session:
        mark.save(session, session.placeholder)
        with database.present() as source:
            tables = ", ".join(f'"{table}"' for table in source.tables())
        session.execute(f"SET lock_timeout = {LOCK_WAIT_MS}")
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        session.execute(f"LOCK TABLE {tables} IN SHARE MODE")
        yield session


def end(session: Session, mark: Mark) -> None:
    """Mark the source as moved, in the transaction that kept everybody from writing to it.

    Raises BackupError if somebody has connected meanwhile, who might go on unaware of the mark.
    """
    if isinstance(session.database, PostgresqlDatabase):
        session.database.assert_unused(session.session)
    session.execute(f"UPDATE {TABLE} SET role = ? WHERE move_id = ?", [Role.MOVED, mark.move_id])  # noqa: S608 (constants)
    session.commit()


def take_back(alias: str, place: Place) -> Mark:
    """Let the source of a move be used again, and return the mark that it had. Raises MoveError if it has none."""
    mark = mark_at(alias)
    if mark is None:
        raise MoveError(f"{place} was not moved; there is nothing to undo.")
    if mark.role == Role.TARGET:
        raise MoveError(f"{place} is the target of a move. {mark.sentence} Or delete it.")
    with connections[alias].cursor() as cursor:
        cursor.execute(f"DROP TABLE {TABLE}")
    return mark
