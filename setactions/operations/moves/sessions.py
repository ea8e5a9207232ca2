"""Reading and filling tables through sessions of the engines' own drivers, in parts that fit into memory."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import IntegrityError

from setactions.operations.backups.engine import Database
from setactions.operations.moves.tables import Row, Table

# What could end one session while the other one works; the last is new in PostgreSQL 17.
LIMITS = ("idle_in_transaction_session_timeout", "idle_session_timeout", "statement_timeout", "transaction_timeout")
CACHE_KIB = 65_536  # of SQLite's pages: those of an index are written in any order


class Session(ABC):
    """An open session with a database. Transactions begin and end with `begin` and `commit`."""

    vendor: str
    placeholder: str
    begin_statement = "BEGIN"

    def __init__(self, database: Database) -> None:
        self.database = database
        self.session = database.connect()
        self._wrapped = database.connection.wrap_database_errors  # into Django's

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """Carry out a statement; return the driver's cursor."""
        with self._wrapped:
            return self.session.execute(statement.replace("?", self.placeholder), values)

    def ask(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query, which are few."""
        return list(self.execute(query, values).fetchall())

    def begin(self) -> None:
        """Begin a transaction that writes."""
        self.execute(self.begin_statement)

    def commit(self) -> None:
        """End the transaction."""
        self.execute("COMMIT")

    def count(self, table: Table) -> int:
        """Return how many rows a table has."""
        return int(self.ask(f'SELECT count(*) FROM "{table.name}"')[0][0])  # noqa: S608 (names of ours)

    def rows(self, table: Table, after: Sequence[Any] | None = None, *, is_ordered: bool = True) -> Iterator[Row]:
        """Yield the rows of a table as they come, all or those behind a key."""
        query = table.select(self.vendor, self.placeholder, is_ordered=is_ordered, is_behind=after is not None)
        return self._stream(query, after or ())

    def close(self) -> None:
        """Close the session; an open transaction rolls back."""
        self.session.close()

    @abstractmethod
    def _stream(self, query: str, values: Sequence[Any]) -> Iterator[Row]:
        """Yield the rows of a query, of which only few are in memory at once."""

    @abstractmethod
    def insert(self, table: Table, rows: Sequence[Row]) -> None:
        """Insert rows into a table."""

    @abstractmethod
    def highest(self, table: Table) -> int:
        """Return the highest number that the counter of a table has given, 0 if none."""

    @abstractmethod
    def set_highest(self, table: Table, number: int) -> None:
        """Let the counter of a table go on behind a number."""

    @abstractmethod
    def finish(self) -> None:
        """Do what makes a database quick that was just filled; raise IntegrityError if a reference leads nowhere."""


class SqliteSession(Session):
    """A session with a SQLite file."""

    vendor, placeholder = "sqlite", "?"
    begin_statement = "BEGIN IMMEDIATE"

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        for pragma in (f"cache_size = -{CACHE_KIB}", "wal_autocheckpoint = 8000"):
            self.execute(f"PRAGMA {pragma}")

    def _stream(self, query: str, values: Sequence[Any]) -> Iterator[Row]:
        with self._wrapped:
            yield from self.session.execute(query, values)

    def insert(self, table: Table, rows: Sequence[Row]) -> None:
        columns = ", ".join(f'"{name}"' for name in table.columns)
        marks = ", ".join("?" * len(table.columns))
        with self._wrapped:
            self.session.executemany(f'INSERT INTO "{table.name}" ({columns}) VALUES ({marks})', rows)  # noqa: S608

    def highest(self, table: Table) -> int:
        numbers = self.ask("SELECT seq FROM sqlite_sequence WHERE name = ?", [table.name])
        return int(numbers[0][0]) if numbers else 0

    def set_highest(self, table: Table, number: int) -> None:
        self.execute("DELETE FROM sqlite_sequence WHERE name = ?", [table.name])
        if number:
            self.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", [table.name, number])

    def finish(self) -> None:
        if orphans := self.execute("PRAGMA foreign_key_check").fetchone():
            raise IntegrityError(f"a row of {orphans[0]} refers to one of {orphans[2]} that is not there")
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class PostgresqlSession(Session):
    """A session with a database on a PostgreSQL server, which may idle for as long as the other one works."""

    vendor, placeholder = "postgresql", "%s"

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.ask("SELECT set_config(name, '0', false) FROM pg_settings WHERE name = ANY(?)", [[*LIMITS]])

    def _stream(self, query: str, values: Sequence[Any]) -> Iterator[Row]:
        with self._wrapped, self.session.cursor() as cursor:
            yield from cursor.stream(query, values)

    def insert(self, table: Table, rows: Sequence[Row]) -> None:
        columns = ", ".join(f'"{name}"' for name in table.columns)
        statement = f'COPY "{table.name}" ({columns}) FROM STDIN'
        with self._wrapped, self.session.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def highest(self, table: Table) -> int:
        [(sequence,)] = self._sequence(table)
        [(number, is_called)] = self.ask(f"SELECT last_value, is_called FROM {sequence}")  # noqa: S608
        return int(number) if is_called else 0

    def set_highest(self, table: Table, number: int) -> None:
        [(sequence,)] = self._sequence(table)
        self.ask("SELECT setval(?, ?, ?)", [sequence, max(1, number), number > 0])

    def _sequence(self, table: Table) -> list[tuple[Any, ...]]:
        return self.ask("SELECT pg_get_serial_sequence(?, ?)", [table.name, table.counter])

    def finish(self) -> None:
        self.execute("VACUUM (ANALYZE)")


def session_with(database: Database) -> Session:
    """Return an open session with a database."""
    return (SqliteSession if database.connection.vendor == "sqlite" else PostgresqlSession)(database)
