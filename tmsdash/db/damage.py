"""Whether a database is gone or damaged, which is told apart from one that only does not answer now.

Who takes a file away, empties it, cuts it off or puts another one in its place must not get away with "cannot be read".
"""

from pathlib import Path

from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from tmsdash.db.migration import are_migrations_due
from tmsdash.db.sqlite_files import is_file_name, missing
from tmsdash.text import one_line

NOT_UTF8 = "Could not decode to UTF-8"  # what SQLite's module says of a text
_CORRUPT, _NO_DATABASE, _ERROR, _PRIMARY = 11, 26, 1, 0xFF  # SQLite's codes, and which bits of one say what kind it is
_LACKING = ("42P01", "42703")  # PostgreSQL's codes for a table and a column that are not there
_DAMAGED = ("XX001", "XX002", "58P01")  # a page or an index is damaged, a file is gone
_NEXT = "Restore a backup; or is a disk not mounted, or a setting wrong? Look at VAR_DIR and the settings."
_NEW = f"If this is a new installation, run manage.py migrate_all. If not: {_NEXT[0].lower()}{_NEXT[1:]}"


def damage(alias: str, error: Error) -> str:
    """Return what is wrong with a database that raised an error, and what to do, as sentences.

    "" if it only did not answer, if what its tables lack is what a migration brings, or if nobody can tell.
    """
    connection = connections[alias]
    sentence = _of_file(connection, error) if connection.vendor == "sqlite" else _of_server(connection, error)
    if sentence:
        return sentence
    if not _is_lacking(error):
        return ""
    if _has_no_tables(connection):
        return f"The database has none of the site's tables. {_NEW}"
    return "" if are_migrations_due() else f"The database lacks what it had: {_text(error)}. {_NEXT}"


def _of_file(connection: BaseDatabaseWrapper, error: Error) -> str:
    name = connection.settings_dict["NAME"]
    code = getattr(error.__cause__, "sqlite_errorcode", 0) & _PRIMARY
    if is_file_name(name):
        file = Path(name)
        try:
            if not file.exists():
                return missing(file)
            if not file.is_file():
                return f"{file} is no file, so it is no database. {_NEXT}"
            if not file.stat().st_size:
                return f"The file {file} has no bytes, so it is no database. {_NEW}"
        except OSError:  # of a folder that may not be read, nobody can tell
            return ""
    if code == _NO_DATABASE:
        return f"The file {name} is no database. {_NEXT}"
    if code == _CORRUPT:
        return f"The file {name} is damaged, or its end was cut off: {_text(error)}. {_NEXT}"
    if NOT_UTF8 in str(error):
        return f"The file {name} holds text that the product never wrote: {_text(error)}."
    return ""


def _of_server(connection: BaseDatabaseWrapper, error: Error) -> str:
    name = connection.settings_dict["NAME"]
    if f'database "{name}" does not exist' in str(error) or "no such database" in str(error):
        return f"The server has no database {name}. {_NEXT}"
    if _code(error) in _DAMAGED:
        return f"The database {name} is damaged: {_text(error)}. {_NEXT}"
    return ""


def _is_lacking(error: Error) -> bool:
    cause = error.__cause__
    is_plain = getattr(cause, "sqlite_errorcode", None) == _ERROR and "no such" in str(error)
    return is_plain or _code(error) in _LACKING


def _has_no_tables(connection: BaseDatabaseWrapper) -> bool:
    try:
        return not connection.introspection.table_names()
    except Error:
        return False


def _code(error: Error) -> str | None:
    return getattr(error.__cause__, "sqlstate", None)


def _text(error: Error) -> str:
    return one_line(str(error).strip().rstrip("."))
