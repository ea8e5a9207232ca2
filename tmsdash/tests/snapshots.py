"""What the tests' databases hold before each test, and the way back to it.

Going back copies a database, or deletes rows; Django's own `flush` empties all tables and then makes permissions and
content types anew, which took longer than most tests. Nothing stays connected in between: some tests are about who is.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

import psycopg
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from audit.proof import append_only

PATIENCE_S = 60  # for a connection that a test has left behind with a lock


class Snapshot(Protocol):
    def restore(self) -> None:
        """Put the database back as it was when the snapshot was taken."""

    def close(self) -> None:
        """Forget it."""


def snapshot_of(connection: BaseDatabaseWrapper) -> Snapshot:
    """Return a snapshot of what `connection` is connected to, as it is now."""
    return SqliteSnapshot(connection) if connection.vendor == "sqlite" else PostgresqlSnapshot(connection)


class SqliteSnapshot:
    """A copy of the whole file in memory: rows, triggers and counters."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._file = Path(connection.settings_dict["NAME"])
        self._copy = sqlite3.connect(":memory:")
        connection.close()
        with self._session() as session:
            session.backup(self._copy)
        self._state = self._file_state()

    def restore(self) -> None:
        if self._file_state() == self._state:
            return  # nobody has written
        with self._session() as session:
            self._copy.backup(session)
            session.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # what the test wrote stands in no file any more
        self._state = self._file_state()

    def close(self) -> None:
        self._copy.close()

    @contextmanager
    def _session(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._file, timeout=PATIENCE_S, isolation_level=None)) as session:
            session.execute("PRAGMA synchronous = OFF")
            yield session

    def _file_state(self) -> tuple[object, ...]:
        """Return what differs once somebody has written: the last one to disconnect folds the WAL into the file."""
        wal = self._file.with_name(f"{self._file.name}-wal")
        if not self._file.exists() or wal.exists():
            return (object(),)
        state = self._file.stat()
        return state.st_ino, state.st_size, state.st_mtime_ns


class PostgresqlSnapshot:
    """The rows that there are. Counters go on."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        tables = set(connection.introspection.table_names()) - {"django_migrations"}
        self._has_entries = append_only.TABLE in tables
        statements = [
            f"SET LOCAL lock_timeout = '{PATIENCE_S}s'",
            "SET LOCAL session_replication_role = replica",  # in any order, whatever the foreign keys
        ]
        with connection.cursor() as cursor:
            for table in sorted(tables):
                statements.append(f'DELETE FROM "{table}"')
                cursor.execute(f'SELECT * FROM "{table}"')
                rows = cursor.fetchall()
                if rows:
                    row = f"({', '.join(['%s'] * len(rows[0]))})"
                    insert = f'INSERT INTO "{table}" VALUES {", ".join([row] * len(rows))}'
                    values = [value for row in rows for value in row]
                    statements.append(psycopg.ClientCursor(connection.connection).mogrify(insert, values))
        self._statements = "; ".join(statements)

    def restore(self) -> None:
        with transaction.atomic(using=self._connection.alias):
            if self._has_entries:
                append_only.remove(self._connection)
            with self._connection.cursor() as cursor:
                cursor.execute(self._statements)
            if self._has_entries:
                append_only.install(self._connection)
        self._connection.close()

    def close(self) -> None:
        """Nothing is held: the rows are text."""
