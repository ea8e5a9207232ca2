"""SQLite: copies of pinned snapshots, and files that replace each other."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from setactions.operations.backups.engine import BackupError, Contents, Database, Kept, Snapshot, Source, Step
from tmsdash.db.files import sync
from tmsdash.db.locks import held_alone
from tmsdash.db.sqlite_files import missing

PAGES_PER_STEP = 2_000  # of 4 KiB
COMPANIONS = ("", "-wal", "-shm", "-journal")  # the files of one database


class SqliteSource(Source):
    """An open connection to a SQLite file; its tables are those that are not SQLite's own."""

    tables_query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"


class SqliteSnapshot(SqliteSource, Snapshot):
    """A read transaction, which in WAL mode keeps seeing the database as it was when the transaction began."""

    def begin(self) -> None:
        """Begin the transaction; only its first read pins what it sees."""
        self.session.execute("BEGIN")
        self.session.execute("SELECT count(*) FROM sqlite_master").fetchone()

    def copy_to(self, file: Path, contents: Contents, on_step: Step) -> None:
        """Copy through the connection that holds the snapshot, so that nothing written meanwhile gets into the copy.

        From then on queries go to the copy, and the snapshot, which kept the WAL from being reused, has ended.
        """
        with closing(self.session) as pinned, closing(_connect(file)) as copy:
            pinned.backup(copy, pages=PAGES_PER_STEP, progress=lambda *_: on_step())
            copy.execute("PRAGMA journal_mode=DELETE")  # all of it in one file
        _assert_sound(file)
        self.session = _connect(file, mode="ro")
        if self.contents() != contents:
            raise BackupError("The copy does not hold the rows that the database holds. Nothing was kept.")


class SqliteDatabase(Database):
    """A database in a SQLite file."""

    engine = "sqlite"
    suffix = ".sqlite3"
    source = SqliteSource

    @property
    def path(self) -> Path:
        return Path(self.connection.settings_dict["NAME"])

    def connect(self) -> sqlite3.Connection:
        return _connect(self.path)

    def size(self) -> int:
        if not self.path.exists():
            raise BackupError(f"{self.variable}: {missing(self.path)}")
        return sum(file.stat().st_size for file in _files(self.path) if not file.name.endswith("-shm"))

    @contextmanager
    def snapshot(self) -> Iterator[SqliteSnapshot]:
        with self.connection.wrap_database_errors, closing(SqliteSnapshot(self.connect())) as snapshot:
            # A restored file is in this mode only after the site has used it; one of no bytes stays as it is.
            if self.path.stat().st_size:
                snapshot.session.execute("PRAGMA journal_mode=WAL")
            yield snapshot

    @contextmanager
    def writes_held(self, wait_s: float) -> Iterator[None]:
        """Hold the file's write lock."""
        with self.connection.wrap_database_errors, closing(_connect(self.path, timeout=wait_s)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield

    def verify(self, file: Path) -> None:
        _assert_sound(file)

    @contextmanager
    def kept_out(self) -> Iterator[None]:
        """Hold the lock that every process of the site shares while it uses the file, and SQLite's exclusive one.

        The first also keeps out processes that would connect while files are swapped, and then write to the old one.
        """
        self.connection.close()
        with held_alone(self.path) as is_alone, ExitStack() as stack:
            if not is_alone:
                raise self.in_use()
            if self.path.exists():
                connection = stack.enter_context(closing(_connect(self.path, timeout=0)))
                try:
                    # Only the last connection can leave WAL mode; that writes the WAL back into the file.
                    connection.execute("PRAGMA journal_mode=DELETE").fetchone()
                    connection.execute("BEGIN EXCLUSIVE")
                except sqlite3.DatabaseError as error:
                    if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                        raise self.in_use() from error
                    # Any other error means that it is damaged, which is why it is being restored. It is kept as it is.
            yield

    def in_use(self) -> BackupError:
        """Return what is raised if somebody else uses the file."""
        return BackupError(
            f"{self.variable}: {self.path} is in use. Stop the site and everything else that uses the file, "
            "then run this again. Nothing was changed."
        )

    @contextmanager
    def replaced(self, file: Path, keep_in: Path, moment: str) -> Iterator[Kept]:
        """Replace the database's file with a copy of `file`, and keep it under another name."""
        new = self.path.with_name(f"{self.path.name}.restoring")
        kept = self.path.with_name(f"{self.path.name}.before-restore-{moment}")
        try:
            _copy_for_owner(file, new, like=self.path)
            moved = _move(self.path, kept)
            try:
                new.replace(self.path)
                sync(self.path.parent)
                yield Kept(str(kept) if moved else "there was none")
            except BaseException:  # Ctrl-C, too, must leave what was there before
                with self.putting_back(str(kept)):
                    self.connection.close()
                    _remove(self.path)
                    _move(kept, self.path)
                raise
        finally:
            _remove(new)


def _connect(file: Path, *, mode: str = "rw", timeout: float = 5) -> sqlite3.Connection:
    """Connect to an existing file: by default SQLite would make a new, empty one."""
    return sqlite3.connect(f"file:{quote(str(file))}?mode={mode}", uri=True, isolation_level=None, timeout=timeout)


def _assert_sound(file: Path) -> None:
    try:
        with closing(_connect(file, mode="ro&immutable=1")) as copy:
            [verdict] = copy.execute("PRAGMA integrity_check(1)").fetchone()
            orphans = copy.execute("PRAGMA foreign_key_check").fetchone()
    except sqlite3.DatabaseError as error:
        verdict, orphans = str(error), None
    if verdict != "ok":
        raise BackupError(f"{file.name} is damaged ({verdict}).")
    if orphans:
        raise BackupError(f"{file.name} is damaged: a row of {orphans[0]} refers to one of {orphans[2]} that is gone.")


def _files(file: Path) -> list[Path]:
    """Return which of a database's files exist."""
    return [path for path in (file.with_name(file.name + companion) for companion in COMPANIONS) if path.exists()]


def _move(old: Path, new: Path) -> bool:
    """Rename a database's files, all or none; tell whether there were any."""
    files = _files(old)
    with ExitStack() as undo:
        for path in files:
            moved = path.rename(new.with_name(new.name + path.name.removeprefix(old.name)))
            undo.callback(moved.rename, path)
        undo.pop_all()
    return bool(files)


def _remove(file: Path) -> None:
    for path in _files(file):
        path.unlink()


def _copy_for_owner(file: Path, new: Path, *, like: Path) -> None:
    """Copy `file` to `new`, durably, for the user who owns the database: root may be running the restore."""
    model = like if like.exists() else like.parent
    with file.open("rb") as source, new.open("wb") as target:
        os.fchmod(target.fileno(), 0o600)
        if os.geteuid() == 0:
            os.fchown(target.fileno(), model.stat().st_uid, model.stat().st_gid)
        if like.exists():
            os.fchmod(target.fileno(), like.stat().st_mode & 0o777)
        shutil.copyfileobj(source, target, 1 << 20)
    sync(new)
