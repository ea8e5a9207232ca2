"""Databases by their URLs, and letting the product's own code use one in the place of that in the settings."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as AnyDatabaseError
from django.db import connections
from django.db.utils import ConnectionHandler, load_backend

from tmsdash.db.sqlite_files import MissingFileError, is_sqlite
from tmsdash.db.transactions import tuned
from tmsdash.env_addresses import database_at

# By one of its tables it shows which of the three databases it is.
_TABLES = {"auth_user": "default", "jobs_job": "jobs", "audit_auditentry": "audit"}


class MoveError(Exception):
    """A move cannot be carried out. The text is a sentence that says why."""


@dataclass(frozen=True)
class Place:
    """A database that a URL names, as Django describes it."""

    described: dict[str, Any]

    @classmethod
    def at(cls, option: str, url: str) -> "Place":
        """Return the place at a URL; raises MoveError, which names the option, if it is none."""
        try:
            described = tuned(database_at(option, url, settings.BASE_DIR), 1, "FULL")
        except ImproperlyConfigured as error:
            raise MoveError(str(error)) from None
        # A pool would go by the alias, under which one database after the other is used here.
        described["OPTIONS"].pop("pool", None)
        return cls(ConnectionHandler({"default": described}).settings["default"])

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a SQLite file."""
        return is_sqlite(self.described)

    @property
    def folder(self) -> Path | None:
        """The folder of a SQLite file."""
        return Path(self.described["NAME"]).parent if self.is_sqlite else None

    def __str__(self) -> str:
        """Where it is, without user and password."""
        name, host, port = (self.described[part] for part in ("NAME", "HOST", "PORT"))
        return str(Path(name).resolve()) if self.is_sqlite else f"postgres://{host}:{port or 5432}/{name}"

    @property
    def has_password(self) -> bool:
        """Whether the URL holds a password."""
        return bool(self.described["PASSWORD"])

    def tables(self) -> list[str]:
        """Return the names of its tables, none if there is no file; raises MoveError if it cannot be read."""
        connection = load_backend(self.described["ENGINE"]).DatabaseWrapper(self.described, "move")
        try:
            return list(connection.introspection.table_names())
        except AnyDatabaseError as error:
            if isinstance(error.__cause__, MissingFileError):
                return []
            raise MoveError(f"{self} cannot be read. {str(error).strip()}") from None
        finally:
            connection.close()

    def alias(self) -> str:
        """Return which of the three databases it is; raises MoveError if it is none."""
        aliases = [_TABLES[table] for table in self.tables() if table in _TABLES]
        if len(aliases) != 1:
            raise MoveError(f"{self} is no database of an installation.")
        return aliases[0]


@contextmanager
def used(places: Mapping[str, Place]) -> Iterator[None]:
    """Use these databases, by their aliases, in the place of those in the settings, in processes of this one, too."""
    before = {alias: connections.settings[alias] for alias in places}
    try:
        for alias, place in places.items():
            _use(alias, place.described)
        yield
    finally:
        for alias, described in before.items():
            _use(alias, described)


def _use(alias: str, described: dict[str, Any]) -> None:
    connections[alias].close()
    connections.settings[alias] = described  # the very dictionary of the settings, which other processes are handed
    with suppress(AttributeError):
        del connections[alias]
