"""What the tests' databases hold before each test, and the way back to it.

Going back copies a database, or deletes rows; Django's own `flush` empties all tables and then makes permissions and
content types anew, which took longer than most tests.
"""

import sqlite3
from types import SimpleNamespace
from typing import Protocol, cast

import psycopg
from django.db.backends.base.base import BaseDatabaseWrapper

from audit.proof import append_only

PATIENCE_S = 60  # for a connection that a test has left behind with a lock


class Snapshot(Protocol):
    def restore(self) -> None:
        """Put the database back as it was when the snapshot was taken, whatever has happened to it since."""

    def close(self) -> None:
        """Let go of the database."""


def snapshot_of(connection: BaseDatabaseWrapper) -> Snapshot:
    """Return a snapshot of what `connection` is connected to, as it is now."""
    return SqliteSnapshot(connection) if connection.vendor == "sqlite" else PostgresqlSnapshot(connection)


class SqliteSnapshot:
    """A copy of the whole file in memory: rows, triggers and counters."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        # It stays connected: SQLite folds the WAL back into the file whenever the last connection goes.
        self._session = sqlite3.connect(connection.settings_dict["NAME"], timeout=PATIENCE_S, isolation_level=None)
        self._session.execute("PRAGMA synchronous = OFF")
        self._copy = sqlite3.connect(":memory:")
        self._session.backup(self._copy)
        self._version = self._data_version()

    def restore(self) -> None:
        if self._data_version() == self._version:
            return  # nobody has written
        self._copy.backup(self._session)
        self._session.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # what the test wrote stands in no file any more
        self._version = self._data_version()

    def close(self) -> None:
        self._session.close()
        self._copy.close()

    def _data_version(self) -> int:
        """Return a number that changes whenever another connection commits."""
        return int(self._session.execute("PRAGMA data_version").fetchone()[0])


class PostgresqlSnapshot:
    """The rows that there are, in temporary tables of its own session. Counters go on."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        described = connection.settings_dict
        self._session = psycopg.connect(
            dbname=described["NAME"],
            host=described["HOST"],
            port=described["PORT"],
            user=described["USER"],
            password=described["PASSWORD"],
            options=f"-c lock_timeout={PATIENCE_S}s",
            autocommit=True,
        )
        # What append_only needs of a connection.
        self._bare = cast(BaseDatabaseWrapper, SimpleNamespace(vendor="postgresql", cursor=self._session.cursor))
        tables = connection.introspection.table_names()
        self._has_entries = append_only.TABLE in tables
        statements = ["SET LOCAL session_replication_role = replica"]  # in any order, whatever the foreign keys
        for table in tables:
            statements.append(f'DELETE FROM "{table}"')
            self._session.execute(f'CREATE TEMPORARY TABLE "before_{table}" AS TABLE "{table}"')
            if self._session.execute(f'SELECT EXISTS (SELECT FROM "before_{table}")').fetchone() == (True,):
                statements.append(f'INSERT INTO "{table}" SELECT * FROM "before_{table}"')
        self._statements = "; ".join(statements)

    def restore(self) -> None:
        with self._session.transaction():
            if self._has_entries:
                append_only.remove(self._bare)
            self._session.execute(self._statements)
            if self._has_entries:
                append_only.install(self._bare)

    def close(self) -> None:
        self._session.close()
