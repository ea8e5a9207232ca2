"""Only migrations create SQLite's files: anything else that connects under a wrong name must leave none behind."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import quote

ENGINE = "tmsdash.db.sqlite_engine"
_may_make: ContextVar[bool] = ContextVar("may_make", default=False)


def is_sqlite(described: dict[str, Any]) -> bool:
    """Tell whether a database of the settings is a SQLite file."""
    return described["ENGINE"] in ("django.db.backends.sqlite3", ENGINE)


def is_file_name(name: str | Path) -> bool:
    """Tell whether the NAME of a SQLite database is that of a file, and not the address of a database in memory."""
    return not str(name).startswith((":", "file:"))


class MissingFileError(sqlite3.OperationalError):
    """The file of a database is missing. The text is a sentence."""


def missing(file: str | Path) -> str:
    """Return the sentence that says so of a file, and what to do."""
    return (
        f"The file {file} is not there. If this is a new installation, run manage.py migrate_all; "
        "if not, look at VAR_DIR and the settings of the databases."
    )


class ExistingFile(sqlite3.Connection):
    """A connection to an existing file or, within `making_files`, to a new one."""

    is_full = False  # of what one transaction needed, and the next will not
    was_opened = False

    def __init__(self, database: str, **options: Any) -> None:
        """Connect to the file of this name, or to the address of a database in memory."""
        is_file = is_file_name(database)
        mode = "rwc" if _may_make.get() else "rw"
        try:
            super().__init__(f"file:{quote(database)}?mode={mode}" if is_file else database, **options)
        except sqlite3.OperationalError as error:
            if not is_file or Path(database).exists():
                raise
            raise MissingFileError(missing(database)) from error
        self.was_opened = True

    def __del__(self) -> None:
        """Close what a thread of the server left open that has ended: nobody else can, and Python would warn of it."""
        if self.was_opened:  # pysqlite3 ends the process on closing one that was not
            self.close()


@contextmanager
def making_files() -> Iterator[None]:
    """Let connections of this thread create missing files."""
    token = _may_make.set(True)
    try:
        yield
    finally:
        _may_make.reset(token)
