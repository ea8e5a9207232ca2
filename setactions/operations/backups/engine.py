"""What backup and restore need from a database engine; sqlite.py and postgresql.py implement it."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import Error as AnyDatabaseError
from django.db import connections

from tmsdash.db.files import sync
from tmsdash.db.transactions import VARIABLES

Step = Callable[[], None]  # called while a copy is being made, again and again


class BackupError(Exception):
    """A backup or a restore cannot be carried out. The text is a sentence that tells its user why."""


class NotPutBackError(BackupError):
    """A restore failed, and a database could not be put back as it was."""


@dataclass(frozen=True)
class Contents:
    """What a database holds, in figures: the rows of each table, and the migrations as (app, name)."""

    rows: dict[str, int]
    migrations: list[tuple[str, str]]


@dataclass(frozen=True)
class Entry:
    """One database of a backup: its engine, the file, that file's size and SHA-256, and what it holds."""

    engine: str
    file: str
    bytes: int
    sha256: str
    contents: Contents


@dataclass(frozen=True)
class Kept:
    """Where the contents that a restore replaced are kept, in words, and the manifest's entry if it is a copy."""

    place: str
    entry: Entry | None = None


class Source(ABC):
    """A database that can be queried through an open session of its driver: a present one, or a copy of one."""

    tables_query: str

    def __init__(self, session: Any) -> None:
        self.session = session

    def ask(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Return the rows that a SELECT gives."""
        return iter(self.session.execute(sql))

    def tables(self) -> list[str]:
        """Return the names of the tables, sorted."""
        return sorted(name for (name,) in self.ask(self.tables_query))

    def contents(self) -> Contents:
        """Return the figures of what it holds."""
        rows = {table: next(self.ask(f'SELECT count(*) FROM "{table}"'))[0] for table in self.tables()}  # noqa: S608
        known = self.ask("SELECT app, name FROM django_migrations") if "django_migrations" in rows else []
        return Contents(rows, sorted((app, name) for app, name in known))

    def close(self) -> None:
        """Close the session."""
        self.session.close()


class Snapshot(Source):
    """A database as it was when `begin` was called, whatever has been written to it since."""

    @abstractmethod
    def begin(self) -> None:
        """Take the snapshot, which takes milliseconds."""

    @abstractmethod
    def copy_to(self, file: Path, contents: Contents, on_step: Step) -> None:
        """Write the snapshot to an existing, empty file; prove that the copy is sound and holds `contents`."""


class Database(ABC):
    """One of the three databases, as backup and restore see it."""

    engine: str
    suffix: str  # of the names of its copies
    source: type[Source]

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.variable = VARIABLES[alias]  # the setting that names it
        self.connection = connections[alias]

    @abstractmethod
    def connect(self) -> Any:
        """Return a new session of the database's driver."""

    @contextmanager
    def present(self) -> Iterator[Source]:
        """Connect to the database as it is now."""
        with self.connection.wrap_database_errors, closing(self.source(self.connect())) as source:
            yield source

    @abstractmethod
    def size(self) -> int:
        """Return how many bytes a copy takes at most; raises BackupError if there is no database."""

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Connect, for a snapshot that has not been taken yet."""

    @abstractmethod
    def writes_held(self, wait_s: float) -> AbstractContextManager[None]:
        """Keep all writers out; raises OperationalError if current ones do not finish within `wait_s` seconds."""

    @abstractmethod
    def verify(self, file: Path) -> None:
        """Raise BackupError unless `file` is a sound copy of such a database."""

    @abstractmethod
    def kept_out(self) -> AbstractContextManager[None]:
        """Keep everybody else out; raises BackupError if anybody is connected, such as a running site."""

    @abstractmethod
    def replaced(self, file: Path, keep_in: Path, moment: str) -> AbstractContextManager[Kept]:
        """Replace the database's contents with those of a verified copy, and yield where the old ones are kept.

        That is in the folder `keep_in`, or beside the database with `moment` in the name. If the block raises
        anything they are put back.
        """

    @contextmanager
    def putting_back(self, place: str) -> Iterator[None]:
        """Raise NotPutBackError, which names where the old contents are kept, if putting them back fails."""
        try:
            yield
        except (OSError, AnyDatabaseError, BackupError) as error:
            raise NotPutBackError(
                f"The restore failed, and the database {self.alias} could not be put back: {error} "
                f"Its contents are kept; put it back by hand: {place}"
            ) from error

    def entry_of(self, file: Path, contents: Contents) -> Entry:
        """Describe a complete copy that holds `contents`."""
        sync(file)
        return Entry(self.engine, file.name, file.stat().st_size, sha256_of(file), contents)


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hex digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
