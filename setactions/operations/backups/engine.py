"""What backup and restore want of a database engine; sqlite.py and postgresql.py fulfil it."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import Error as AnyDatabaseError
from django.db import connections

from tmsdash.db.files import sync

Step = Callable[[], None]  # called while a copy is being made, again and again
VARIABLES = {"default": "DATABASE_URL", "jobs": "JOBS_DATABASE_URL", "audit": "AUDIT_DATABASE_URL"}
HASH_CHUNK_BYTES = 1 << 20


class BackupError(Exception):
    """A backup or a restore cannot be carried out. The text says why, as a sentence for whoever started it."""


class NotPutBackError(BackupError):
    """After a restore that failed, a database could not be made what it was before."""


@contextmanager
def putting_back(alias: str, place: str) -> Iterator[None]:
    """Name the place of what is kept if putting it back fails; raises NotPutBackError then."""
    try:
        yield
    except (OSError, AnyDatabaseError, BackupError) as error:
        raise NotPutBackError(
            f"The restore failed, and the database {alias} could not be put back: {error} "
            f"What it held is kept; put it back by hand: {place}"
        ) from error


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
    """Where the contents of a database are that a restore replaced, in words, and what describes a copy of them."""

    place: str
    entry: Entry | None = None


class Source(ABC):
    """A database that can be asked: a snapshot, or a copy of one."""

    @abstractmethod
    def ask(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Return the rows that a SELECT gives."""

    @abstractmethod
    def tables(self) -> list[str]:
        """Return the names of the tables, sorted."""

    def contents(self) -> Contents:
        """Return what it holds, in figures."""
        rows = {table: next(self.ask(f'SELECT count(*) FROM "{table}"'))[0] for table in self.tables()}  # noqa: S608
        known = self.ask("SELECT app, name FROM django_migrations") if "django_migrations" in rows else []
        return Contents(rows, sorted((app, name) for app, name in known))


class Snapshot(Source):
    """What a database held at the moment at which `begin` was called, whatever is written to it since."""

    @abstractmethod
    def begin(self) -> None:
        """Take the snapshot; a matter of milliseconds."""

    @abstractmethod
    def copy_to(self, file: Path, contents: Contents, on_step: Step) -> None:
        """Write the snapshot to a file that is there already and empty; prove that it is sound and holds `contents`."""


class Database(ABC):
    """One of the three databases, as backup and restore see it."""

    engine: str
    suffix: str  # of the names of its copies

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.connection = connections[alias]

    @abstractmethod
    def size(self) -> int:
        """Return how many bytes a copy takes at most."""

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Connect, for a snapshot that is not taken yet."""

    @abstractmethod
    def writes_held(self, wait_s: float) -> AbstractContextManager[None]:
        """Keep all writers out; raises OperationalError if the present ones do not end within `wait_s` seconds."""

    @abstractmethod
    def verify(self, file: Path) -> None:
        """Raise BackupError unless `file` is a sound copy of such a database."""

    @abstractmethod
    def kept_out(self) -> AbstractContextManager[None]:
        """Keep everybody else out; raises BackupError if anybody is connected, as a running site is."""

    @abstractmethod
    def replaced(self, file: Path, keep_in: Path, moment: str) -> AbstractContextManager[Kept]:
        """Put the contents of a verified copy in the place of the database's, and yield where these are kept.

        That is in the folder `keep_in`, or beside the database with `moment` in the name. If the block raises
        anything they are put back.
        """

    def entry_of(self, file: Path, contents: Contents) -> Entry:
        """Describe a complete copy that holds `contents`."""
        sync(file)
        return Entry(self.engine, file.name, file.stat().st_size, sha256_of(file), contents)

    @abstractmethod
    def present(self) -> AbstractContextManager[Source]:
        """Connect to the database as it is now."""


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hex digits."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
