"""Only migrations create SQLite's files: anything else that connects under a wrong name must leave none behind."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

ENGINE = "tmsdash.db.sqlite_engine"
_may_make: ContextVar[bool] = ContextVar("may_make", default=False)
_only_looks: ContextVar[bool] = ContextVar("only_looks", default=False)


def is_sqlite(described: dict[str, Any]) -> bool:
    """Tell whether a database of the settings is a SQLite file."""
    return described["ENGINE"] in ("django.db.backends.sqlite3", ENGINE)


def is_file_name(name: str | Path) -> bool:
    """Tell whether the NAME of a SQLite database is that of a file, and not the address of a database in memory."""
    return not str(name).startswith((":", "file:"))


def address_to_look_at(file: str | Path) -> str:
    """Return the address under which SQLite reads a file and makes none beside it.

    A database in WAL mode that nobody uses has no WAL, and would get one even from whoever only reads.
    """
    is_used = all(Path(f"{file}{end}").exists() for end in ("-wal", "-shm"))
    return f"file:{quote(str(file))}?mode=ro{'' if is_used else '&immutable=1'}"


def free_bytes(connection: BaseDatabaseWrapper) -> int | None:
    """Return how much room there is on the disk of a SQLite database; None for another one. Raises OSError."""
    if connection.vendor != "sqlite":
        return None
    return shutil.disk_usage(Path(connection.settings_dict["NAME"]).parent).free


class MissingFileError(sqlite3.OperationalError):
    """The file of a database is missing. The text is a sentence."""


def missing(file: str | Path) -> str:
    """Return the sentence that says so of a file, and what to do."""
    return (
        f"The file {file} is not there. If this is a new installation, run manage.py migrate_all; "
        "if not, look at VAR_DIR and the settings of the databases."
    )


class ExistingFile(sqlite3.Connection):
    """A connection to an existing file or, within `making_files`, to a new one.

    A file of no bytes stays one: SQLite would make a database of it at once. Whoever reads finds no table, and nobody
    can write.
    """

    is_full = False  # of what one transaction needed, and the next will not
    was_empty = False  # the file had no bytes, so this is not a connection to it
    was_opened = False

    def __init__(self, database: str, **options: Any) -> None:
        """Connect to the file of this name, or to the address of a database in memory."""
        is_file = is_file_name(database)
        mode = "rwc" if _may_make.get() else "rw"
        address = address_to_look_at(database) if only_looks() else f"file:{quote(database)}?mode={mode}"
        was_empty = is_file and not _may_make.get() and _has_no_bytes(database)
        try:
            super().__init__(":memory:" if was_empty else address if is_file else database, **options)
        except sqlite3.OperationalError as error:
            if not is_file or Path(database).exists():
                raise
            raise MissingFileError(missing(database)) from error
        self.was_opened = True
        if was_empty:
            self.was_empty = True
            self.execute("PRAGMA query_only = 1")

    def __del__(self) -> None:
        """Close what a thread of the server left open that has ended: nobody else can, and Python would warn of it."""
        if self.was_opened:  # pysqlite3 ends the process on closing one that was not
            self.close()


def _has_no_bytes(file: str) -> bool:
    try:
        return Path(file).is_file() and Path(file).stat().st_size == 0
    except OSError:
        return False


def only_looks() -> bool:
    """Tell whether connections of this thread may neither make nor change a file."""
    return _only_looks.get()


@contextmanager
def only_looking() -> Iterator[None]:
    """Let connections that this thread makes read files, and neither make nor change any, locks among them."""
    token = _only_looks.set(True)
    try:
        yield
    finally:
        _only_looks.reset(token)


@contextmanager
def making_files() -> Iterator[None]:
    """Let connections of this thread create missing files, and begin databases in those of no bytes."""
    for connection in connections.all(initialized_only=True):
        if getattr(connection.connection, "was_empty", False):  # another process may be making that file
            connection.close()
    token = _may_make.set(True)
    try:
        yield
    finally:
        _may_make.reset(token)
