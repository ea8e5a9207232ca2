"""Creating a backup: the three databases at one moment, copied while the site keeps serving."""

import itertools
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.db import Error as AnyDatabaseError
from django.db import OperationalError, connections

from setactions.operations.backups.consistency import disagreements
from setactions.operations.backups.engine import BackupError, Database, Entry, Snapshot, Step
from setactions.operations.backups.manifest import Manifest
from setactions.operations.backups.postgresql import PostgresqlDatabase
from setactions.operations.backups.sqlite import SqliteDatabase
from setactions.operations.backups.thinning import NAME_FORMAT
from tmsdash.db.files import sync
from tmsdash.version import product_version

ALIASES = ("default", "jobs", "audit")  # in the order in which their locks are taken
# While it waits for one database's lock it holds the others, and a Set Action waits for them 4 s at most.
LOCK_WAIT_S = 1.5  # more than the second after which PostgreSQL ends an automatic vacuum that is in the way
LOCK_TRIES = 10
LOCK_PAUSE_S = 0.5
SPARE_BYTES = 16 << 20


@dataclass(frozen=True)
class Backup:
    """A complete backup: its folder, and what is in it."""

    folder: Path
    manifest: Manifest


def database_of(alias: str) -> Database:
    """Return the database of `alias`, as backup and restore see it."""
    return (SqliteDatabase if connections[alias].vendor == "sqlite" else PostgresqlDatabase)(alias)


def back_up(folder: Path, on_step: Step = lambda: None) -> Backup:
    """Copy the three databases, as they are at one moment, into a new folder inside `folder`; return the backup.

    The site may keep serving: its writers wait only until the snapshots have begun. The new folder appears once it
    is complete and verified; of anything less nothing is left. The keys in VAR_DIR are not copied. `on_step` is
    called every now and then while a database is copied. Raises BackupError.
    """
    databases = [database_of(alias) for alias in ALIASES]
    try:
        with _new_folder(folder) as partial, ExitStack() as stack:
            _assert_room(partial, databases)
            snapshots = {database.alias: stack.enter_context(database.snapshot()) for database in databases}
            with _all_writes_held(databases):
                for snapshot in snapshots.values():
                    snapshot.begin()
                made_at = datetime.now(UTC)
            entries = {base.alias: _copy(base, snapshots[base.alias], partial, on_step) for base in databases}
            problems = disagreements(snapshots["jobs"], snapshots["audit"])
            manifest = Manifest(made_at.isoformat(timespec="seconds"), product_version(), entries, problems)
            manifest.save(partial)
            sync(partial)
            return Backup(_complete(partial, folder, made_at), manifest)
    except OSError as error:
        raise BackupError(f"{folder} cannot be written: {error.strerror or error}. Nothing was kept.") from error
    except AnyDatabaseError as error:
        raise BackupError(f"A database cannot be copied: {str(error).strip()}. Nothing was kept.") from error


def _all_writes_held(databases: Sequence[Database]) -> ExitStack:
    """Keep writers out of all databases until the returned block ends; raises OperationalError if that fails."""
    for tries_left in reversed(range(LOCK_TRIES)):
        with ExitStack() as held:
            try:
                for database in databases:
                    held.enter_context(database.writes_held(LOCK_WAIT_S))
            except OperationalError:
                if not tries_left:
                    raise
            else:
                return held.pop_all()
        time.sleep(LOCK_PAUSE_S)  # all locks are free now, so whoever was waiting for them can go ahead
    raise AssertionError("the last try returns or raises")


def _copy(database: Database, snapshot: Snapshot, folder: Path, on_step: Step) -> Entry:
    """Copy a snapshot into `folder` and describe it for the manifest."""
    contents = snapshot.contents()
    if not contents.migrations:
        raise BackupError(f"{database.variable}: this database holds no tables. Run manage.py migrate_all first.")
    file = folder / f"{database.alias}{database.suffix}"
    file.touch(mode=0o600)
    snapshot.copy_to(file, contents, on_step)
    return database.entry_of(file, contents)


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Make a folder, mode 0700, under a name that no backup has; remove it unless it was renamed."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".incomplete-", dir=folder))
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _complete(partial: Path, folder: Path, made_at: datetime) -> Path:
    """Name a complete backup after its time; return its folder."""
    name = made_at.strftime(NAME_FORMAT)
    for number in itertools.count(1):
        final = folder / (name if number == 1 else f"{name}-{number}")
        with suppress(FileExistsError):
            final.mkdir(mode=0o700)  # claims the name; renaming replaces an empty folder
            partial.rename(final)
            break
    sync(folder)
    return final


def _assert_room(folder: Path, databases: Sequence[Database]) -> None:
    needed = sum(database.size() for database in databases) + SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BackupError(
            f"There is not enough room in {folder.parent}: a backup can take {needed >> 20:,} MiB, and {free >> 20:,} "
            "MiB are free. Nothing was kept."
        )
