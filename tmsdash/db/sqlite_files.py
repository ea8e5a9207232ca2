"""Only migrations create SQLite's files: anything else that connects under a wrong name must leave none behind."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import quote

_may_make: ContextVar[bool] = ContextVar("may_make", default=False)


class MissingFileError(sqlite3.OperationalError):
    """The file of a database is missing. The text is a sentence."""


class ExistingFile(sqlite3.Connection):
    """A connection to an existing file or, within `making_files`, to a new one."""

    def __init__(self, database: str, **options: Any) -> None:
        """Connect to the file of this name, or to the address of a database in memory."""
        is_file = not database.startswith((":", "file:"))
        mode = "rwc" if _may_make.get() else "rw"
        try:
            super().__init__(f"file:{quote(database)}?mode={mode}" if is_file else database, **options)
        except sqlite3.OperationalError as error:
            if not is_file or Path(database).exists():
                raise
            raise MissingFileError(
                f"The file {database} is not there. If this is a new installation, run manage.py migrate_all; "
                "if not, look at VAR_DIR and the settings of the databases."
            ) from error


@contextmanager
def making_files() -> Iterator[None]:
    """Let connections of this thread create missing files."""
    token = _may_make.set(True)
    try:
        yield
    finally:
        _may_make.reset(token)
