"""The database that is filled. It says itself how far it is, in the transactions that fill it: a kill costs nothing."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.management import call_command
from django.db import DataError, IntegrityError, connections

from setactions.operations.moves.places import MoveError
from setactions.operations.moves.sessions import Session
from setactions.operations.moves.tables import Content, Row, Table
from tmsdash.db.moves import PROGRESS, TABLE, Mark
from tmsdash.db.sqlite_files import making_files
from tmsdash.kill_points import kill_point
from tmsdash.text import one_line

ROWS_AT_ONCE = 10_000
SIZE_AT_ONCE = 4 << 20  # characters: one row may hold the ids of a whole fleet

Show = Callable[[int], object]  # called with the number of rows that were copied or compared since the last call


@dataclass
class Progress:
    """How far a table is: what was copied, up to which key, and whether that is all of it."""

    content: Content
    last_key: list[Any] | None = None
    is_copied: bool = False


def begin(alias: str, mark: Mark) -> None:
    """Mark the database that is used as `alias` as the target of a move, and make its tables.

    Does nothing if its rows are being copied already.
    """
    connection = connections[alias]
    with making_files():
        connection.ensure_connection()
    mark.save(connection.connection, "?" if connection.vendor == "sqlite" else "%s")
    kill_point("move: target marked, no tables")
    if PROGRESS not in connection.introspection.table_names():
        call_command("migrate", database=alias, interactive=False, verbosity=0, skip_checks=True)
    connection.close()


def progress_of(session: Session, tables: Sequence[Table]) -> dict[str, Progress]:
    """Return how far each table is, by its name. At first, what the migrations put into them is deleted."""
    session.begin()
    session.execute(
        f"CREATE TABLE IF NOT EXISTS {PROGRESS} "
        "(name text PRIMARY KEY, last_key text, count bigint, sum text, is_copied integer)"
    )
    rows = session.ask(f"SELECT name, last_key, count, sum, is_copied FROM {PROGRESS}")  # noqa: S608 (constants)
    if not rows:
        for table in reversed(tables):
            if session.count(table):  # the audit's entries, of which there are none, refuse to be deleted
                session.execute(f'DELETE FROM "{table.name}"')  # noqa: S608 (names of ours)
        rows = [(table.name, None, 0, "0", 0) for table in tables]
        for row in rows:
            session.execute(f"INSERT INTO {PROGRESS} VALUES (?, ?, ?, ?, ?)", row)  # noqa: S608 (constants)
    session.commit()
    return {
        name: Progress(Content(count, int(total)), key and json.loads(key), bool(is_copied))
        for name, key, count, total, is_copied in rows
    }


def copy(source: Session, target: Session, table: Table, progress: Progress, show: Show) -> None:
    """Copy the rows of a table that are not copied yet. Raises MoveError, which names the table."""
    try:
        for rows in _parts(table, source.rows(table, progress.last_key), progress.content):
            target.begin()
            target.insert(table, rows)
            progress.last_key = table.key_of(rows[-1])
            _save(target, table, progress)
            kill_point("move: rows copied, not committed")
            target.commit()
            kill_point("move: rows committed")
            show(len(rows))
    except (ValueError, DataError, IntegrityError) as error:
        place = f"Table {table.name}, behind the key {progress.last_key}"
        raise MoveError(f"{place}: a row cannot be moved as it is. {one_line(str(error))}") from error
    progress.is_copied = True
    _save(target, table, progress)


def compare(target: Session, table: Table, copied: Content, count: int, show: Show) -> None:
    """Read a table back. Raises MoveError unless it holds the rows that were copied, which are the source's `count`."""
    content = Content()
    for rows in _parts(table, target.rows(table, is_ordered=False), content):
        show(len(rows))
    if (copied.rows, content) != (count, copied):
        raise MoveError(
            f"Table {table.name} has {count:,} rows, of which {copied.rows:,} were copied, but reading them back gave "
            f"{content.rows:,}, or other values. A row in it may hold something that its column is not for."
        )


def release(session: Session) -> None:
    """Let the database be used."""
    session.begin()
    session.execute(f"DROP TABLE IF EXISTS {PROGRESS}")
    session.execute(f"DROP TABLE {TABLE}")
    session.commit()
    kill_point("move: a target can be used")


def _parts(table: Table, rows: Iterator[Row], content: Content) -> Iterator[list[Row]]:
    """Yield rows in parts that fit into memory, and add them to `content`."""
    part: list[Row] = []
    size = content.size
    for row in rows:
        content.add_row(table, row)
        part.append(row)
        if len(part) >= ROWS_AT_ONCE or content.size - size >= SIZE_AT_ONCE:
            yield part
            part, size = [], content.size
    if part:
        yield part


def _save(session: Session, table: Table, progress: Progress) -> None:
    key = None if progress.last_key is None else json.dumps(progress.last_key)
    session.execute(
        f"UPDATE {PROGRESS} SET last_key = ?, count = ?, sum = ?, is_copied = ? WHERE name = ?",  # noqa: S608 (constants)
        [key, progress.content.rows, str(progress.content.sum), int(progress.is_copied), table.name],
    )
