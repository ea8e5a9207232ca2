"""Very many rows, inserted as they are: executemany on SQLite, COPY on PostgreSQL, no model and no service."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.core.management.color import no_style
from django.db import connections, transaction
from django.db.models import Model

ROWS_AT_ONCE = 1_000_000  # in memory, and in one transaction
CACHE_KIB = 1_500_000  # for indexes in random order; without it each customer would read a page and write one
Row = Sequence[Any]


class BulkRows:
    """Collects rows of tables in one database, and inserts a million at a time. Values are as the database stores
    them: times as text in UTC, ids of attempts as 32 hex digits."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._rows: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
        self._count = 0

    def add(self, table: str, columns: str, rows: Iterable[Row]) -> None:
        """Insert rows of a table with these columns (names with commas between them) sooner or later."""
        collected = self._rows[table, columns]
        before = len(collected)
        collected += rows
        self._count += len(collected) - before

    @property
    def is_full(self) -> bool:
        """Whether it is time to insert what was collected."""
        return self._count >= ROWS_AT_ONCE

    def insert(self) -> None:
        """Insert what was collected, in the order of the tables' first rows, in a transaction of its own or the
        caller's. Raises DatabaseError."""
        connection = connections[self._using]
        with transaction.atomic(using=self._using), connection.wrap_database_errors:
            for (table, columns), rows in self._rows.items():
                if connection.vendor == "sqlite":
                    marks = ", ".join("?" * len(columns.split(",")))
                    statement = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608 (constants)
                    connection.connection.executemany(statement, rows)
                else:
                    with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                        for row in rows:
                            copy.write_row(row)
        self._rows.clear()
        self._count = 0


def last_pk(model: type[Model]) -> int:
    """Return the highest primary key of a table, 0 if it is empty."""
    return model._default_manager.order_by("-pk").values_list("pk", flat=True).first() or 0


@contextmanager
def prepared_for_bulk(*aliases: str) -> Iterator[None]:
    """Let SQLite keep whole indexes in memory and wait for no disk while the block inserts.

    A power cut within the block can cost these databases, which hold made-up data only.
    """
    sessions = [connections[alias].cursor() for alias in aliases if connections[alias].vendor == "sqlite"]
    for session in sessions:
        session.execute("PRAGMA synchronous = OFF")
        session.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    try:
        yield
    finally:
        for alias in aliases:
            connections[alias].close()  # the next statement connects with the usual options


def finish_bulk(using: str, models: Iterable[type[Model]]) -> None:
    """Do after many inserts what PostgreSQL needs: sequences behind the keys that were given, and statistics, which
    its autovacuum would only get to later. On SQLite, empty the WAL."""
    connection = connections[using]
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return
        for statement in connection.ops.sequence_reset_sql(no_style(), [*models]):
            cursor.execute(statement)
        cursor.execute("VACUUM (ANALYZE)")
