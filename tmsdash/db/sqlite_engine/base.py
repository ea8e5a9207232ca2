"""Where Django looks for the classes of SQLite.

A statement of ours takes SQLite a few microseconds, and Django's way to it twice as long. Here the same is looked
after, in fewer steps: who uses a connection, errors, and a transaction that is broken. Whatever else asks to be told of
statements (a wrapper, who counts queries) gets Django's own way; DEBUG keeps no log of them.
"""

import sqlite3
from _thread import get_ident
from functools import lru_cache
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.sqlite3 import base, features
from django.db.backends.sqlite3.base import FORMAT_QMARK_REGEX, SQLiteCursorWrapper
from django.db.backends.utils import CursorWrapper

# What has no adapter and is no number and no text sqlite3 asks whether it can adapt itself: within C, two errors are
# raised for each such parameter, and dropped.
sqlite3.register_adapter(bool, int)
sqlite3.register_adapter(bytes, bytes)
sqlite3.register_adapter(type(None), lambda nothing: nothing)


@lru_cache(maxsize=512)
def _with_question_marks(statement: str) -> str:
    return FORMAT_QMARK_REGEX.sub("?", statement).replace("%%", "%")


class Cursor(CursorWrapper):
    """A cursor that looks through the text of a statement for its parameters only when that is new."""

    cursor: SQLiteCursorWrapper

    def execute(self, sql: Any, params: Any = None) -> Any:
        """Execute a statement as Django does; so do `fetchone` and `fetchall`."""
        if self.db.execute_wrappers or self.db.needs_rollback or not isinstance(params, list | tuple | None):
            return super().execute(sql, params)
        statement = (sql,) if params is None else (_with_question_marks(sql), params)
        with self.db.wrap_database_errors:
            return sqlite3.Cursor.execute(self.cursor, *statement)

    def fetchone(self) -> Any:
        with self.db.wrap_database_errors:
            return self.cursor.fetchone()

    def fetchall(self) -> Any:
        with self.db.wrap_database_errors:
            return self.cursor.fetchall()


class DatabaseFeatures(features.DatabaseFeatures):
    """What SQLite can do, known without asking it: Django's checks come before `migrate` has made the file."""

    supports_json_field = True  # always, in every version that we take


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection to SQLite."""

    features_class = DatabaseFeatures

    # Before each of these Django looks for an event loop, in which it must not be called. No code of ours runs in one.
    ensure_connection = BaseDatabaseWrapper.ensure_connection.__wrapped__  # type: ignore[attr-defined]
    commit = BaseDatabaseWrapper.commit.__wrapped__  # type: ignore[attr-defined]

    def cursor(self) -> Any:
        """Return a cursor, opening a connection if necessary."""
        if self.connection is None or self.force_debug_cursor or get_ident() != self._thread_ident:  # type: ignore[attr-defined]
            return self._cursor()  # type: ignore[attr-defined]  # which also says what is wrong with it
        with self.wrap_database_errors:
            return Cursor(self.create_cursor(), self)

    def make_cursor(self, cursor: Any) -> CursorWrapper:
        """Return what Django asks for where nobody counts queries."""
        return Cursor(cursor, self)
