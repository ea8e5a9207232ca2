"""How the databases are tuned, and the kinds of transaction that write to them."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from django.db import Error as AnyDatabaseError
from django.db import InterfaceError, InternalError, OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

from tmsdash.db import postgresql, sqlite_files
from tmsdash.db.locks import share
from tmsdash.db.sqlite_files import (
    ExistingFile,
    address_to_look_at,
    free_bytes,
    is_file_name,
    is_sqlite,
    missing,
    only_looks,
)
from tmsdash.db.turns import take_file, turn
from tmsdash.db.writability import File, ended_by_failure
from tmsdash.server.histograms import WRITES

# Raised for locks, full or read-only disks and lost connections: it is the database that fails, not the statement.
# PostgreSQL's drivers report a transaction that idled too long, or may only read, as an internal error.
UNUSABLE_DATABASE = (OperationalError, InterfaceError, InternalError)

VARIABLES = {"default": "DATABASE_URL", "jobs": "JOBS_DATABASE_URL", "audit": "AUDIT_DATABASE_URL"}
# Seconds that everything but a Set Action waits for another writer of the same SQLite file.
BUSY_TIMEOUT_S = 20
CACHES_BYTES = 32 << 20  # of SQLite in one process
AfterAnswer = Callable[[float], ExitStack]
MIN_FREE_BYTES = 64 << 20  # of disk space; with less, no Set Action is started


def tuned(described: dict[str, Any], web_threads: int, synchronous: str) -> dict[str, Any]:
    """Return the database `described` by django-environ with the options that correctness rests on.

    `synchronous` is SQLite's: FULL keeps every committed row through a power cut, NORMAL may lose
    the latest. For PostgreSQL a pool gives every web thread a slot, so that pages never wait for
    one behind calls in flight. System checks guard these values.
    """
    if is_sqlite(described):
        return described | {
            "ENGINE": sqlite_files.ENGINE,
            "CONN_MAX_AGE": 600,
            "OPTIONS": {
                "factory": ExistingFile,
                "timeout": BUSY_TIMEOUT_S,
                # A transaction that reads before it writes fails at once if another writer was faster, whatever
                # the timeout, unless it takes the write lock right at the beginning.
                "transaction_mode": "IMMEDIATE",
                # Each thread has connections of its own, whose caches add up: all together have a limit, above which
                # a cache makes room for a page by dropping another one.
                # A fleet's ids fill more than the default 1,000 pages of WAL; copying them back within the same
                # commit took a third of its time.
                "init_command": (
                    f"PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous};"
                    f"PRAGMA journal_size_limit={64 << 20}; PRAGMA cache_size=-8000; PRAGMA temp_store=MEMORY;"
                    f"PRAGMA soft_heap_limit={CACHES_BYTES};"
                    "PRAGMA wal_autocheckpoint=8000"
                ),
            },
        }
    pool = {"max_size": web_threads, "wait_s": 5}
    options = postgresql.parameters(described.get("OPTIONS", {})) | {"pool": pool}
    return described | {"ENGINE": postgresql.ENGINE, "CONN_MAX_AGE": 0, "OPTIONS": options}


def files(described: dict[str, dict[str, Any]]) -> list[Path]:
    """Return the files of the SQLite databases among the `described` ones, whether they exist or not."""
    return [Path(base["NAME"]) for base in described.values() if is_sqlite(base)]


def files_with_audit_key(described: dict[str, dict[str, Any]]) -> Iterator[Path]:
    """Yield the files of databases that were made with an AUDIT_KEY: none if the audit has no chain yet."""
    for audit in files({"audit": described["audit"]}):
        try:
            with closing(sqlite3.connect(address_to_look_at(audit), uri=True)) as session:
                tables = {name for (name,) in session.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        except sqlite3.Error:
            continue  # unreadable, so it may have been made with the key
        if "audit_auditentry" in tables and "audit_chainhead" not in tables:
            return
    yield from files(described)


@contextmanager
def drop_if_broken(*aliases: str, raising: Callable[[AnyDatabaseError], Exception] | None = None) -> Iterator[None]:
    """Close the connections `aliases` if the block raises an error of a database; the next statement connects anew.

    Such an error is django.db.Error: DatabaseError alone would miss InterfaceError, which a PostgreSQL connection
    that is gone raises. It goes on to the caller, as what `raising` makes of it if that is given. Whoever can do
    without the database wraps this in `contextlib.suppress(AnyDatabaseError)`.
    """
    try:
        yield
    except AnyDatabaseError as error:
        for alias in aliases:
            connections[alias].close()
        if raising is None:
            raise
        raise raising(error) from error


@contextmanager
def write_transaction(using: str, wait_s: float = BUSY_TIMEOUT_S) -> Iterator[None]:
    """A durable transaction on `using` that waits at most `wait_s` seconds for other writers.

    Raises OperationalError when the wait was in vain, and whatever the database raises.
    """
    connection = connections[using]
    begun = time.monotonic()
    try:
        with (
            ended_by_failure(using),
            _turn_to_write(connection, wait_s) as left_s,
            transaction.atomic(using=using, durable=True),
        ):
            postgresql.limit_for_writing(connection, left_s)
            yield
    finally:
        WRITES[using].observe(time.monotonic() - begun)


@contextmanager
def single_write(using: str, wait_s: float = BUSY_TIMEOUT_S) -> Iterator[None]:
    """The same for one statement, which is a transaction of its own on SQLite: two statements less.

    PostgreSQL's limit of the wait is one of a transaction.
    """
    connection = connections[using]
    if connection.vendor != "sqlite":
        with write_transaction(using, wait_s):
            yield
        return
    if connection.in_atomic_block:
        raise RuntimeError("A write that is to be durable is part of no other transaction.")
    begun = time.monotonic()
    try:
        with ended_by_failure(using), _turn_to_write(connection, wait_s):
            yield
    finally:
        WRITES[using].observe(time.monotonic() - begun)


@contextmanager
def read_transaction(using: str) -> Iterator[None]:
    """Read the database as it is at one moment, however long that takes; blocks no writer. Large sorts go to disk."""
    connection = connections[using]
    if connection.vendor != "sqlite":
        with transaction.atomic(using=using, durable=True):
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            postgresql.limit_for_reading(connection)
            yield
        return
    with _deferred(connection):
        connection.connection.execute("PRAGMA temp_store = FILE")
        try:
            with transaction.atomic(using=using, durable=True):
                yield
        finally:
            connection.connection.execute("PRAGMA temp_store = MEMORY")


def one_at_a_time(using: str, key: str) -> None:
    """Keep out other transactions that name the same key until the current one ends.

    SQLite's begin IMMEDIATE and are alone anyway; PostgreSQL needs a lock.
    """
    connection = connections[using]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])


@contextmanager
def transaction_around_call(using: str) -> Iterator[AfterAnswer]:
    """A durable transaction on `using` that is open while a remote call runs, yet holds no lock.

    It begins DEFERRED, so that SQLite takes no lock before the first statement (begun IMMEDIATE, it
    would keep every other writer out for the whole call), and it refuses statements until the block
    has called the yielded function with the seconds that it may wait for other writers. The first
    statement after that must be a write: a read would take a snapshot that a later write cannot use.
    The function returns what ends after the commit, with the turn to write: callbacks may be added.
    """
    connection = connections[using]
    answered, begun = False, 0.0

    # The turn to write ends after the commit.
    with ended_by_failure(using), ExitStack() as writing, _deferred(connection):
        writing.callback(lambda: WRITES[using].observe(time.monotonic() - begun) if answered else None)

        def after_answer(wait_s: float) -> ExitStack:
            nonlocal answered, begun
            answered, begun = True, time.monotonic()
            left_s = writing.enter_context(_turn_to_write(connection, wait_s))
            postgresql.limit_for_writing(connection, left_s)
            return writing

        def refuse_before_answer(execute: Callable[..., Any], *args: Any) -> Any:
            if not answered:
                raise RuntimeError(f"SQL on {using!r} before the remote call was answered would hold a lock over it.")
            return execute(*args)

        with transaction.atomic(using=using, durable=True), connection.execute_wrapper(refuse_before_answer):
            yield after_answer


@contextmanager
def _deferred(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Let the next transaction of `connection` begin DEFERRED if it is SQLite; a test pins Django's attribute."""
    if connection.vendor != "sqlite":
        yield
        return
    ensure_own_file(connection)  # connecting sets the mode
    usual, connection.transaction_mode = connection.transaction_mode, "DEFERRED"  # type: ignore[attr-defined]
    try:
        yield
    finally:
        connection.transaction_mode = usual  # type: ignore[attr-defined]


@contextmanager
def _turn_to_write(connection: BaseDatabaseWrapper, wait_s: float) -> Iterator[float]:
    """Be connected to the file of a SQLite database, and the only one on this host whose turn it is to write to it.

    Whoever writes without a turn is kept out by SQLite's own lock. All waits together take `wait_s` seconds at most;
    yields what is left of them.
    """
    if connection.vendor != "sqlite":
        yield wait_s
        return
    until = time.monotonic() + wait_s
    try:
        with turn(connection.alias, wait_s):
            file = ensure_own_file(connection)
            take_file(connection.alias, connection.settings_dict["NAME"], file, until - time.monotonic())
            left_s = until - time.monotonic()
            _set_busy_timeout(connection, left_s)
            yield left_s
    finally:  # once the turn has ended: others wait for it
        if connection.connection is not None and connection.connection.is_full:
            connection.close()
        _set_busy_timeout(connection, BUSY_TIMEOUT_S)


def file_is_there(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether a SQLite database's file exists: connecting would silently create an empty one."""
    return connection.vendor != "sqlite" or file_identity(connection) is not None


def assert_disk_has_room(using: str) -> None:
    """Raise OperationalError if a SQLite file has hardly any room to grow, or if that is unknown.

    What is rolled back never reaches the disk, so a trial write does not show it. PostgreSQL's disk is not ours.
    """
    try:
        free = free_bytes(connections[using])
    except OSError as error:
        raise OperationalError(f"the folder of database {using!r} is out of reach: {error.strerror}") from error
    if free is not None and free < MIN_FREE_BYTES:
        raise OperationalError(f"only {free >> 20} MiB are free on the disk of database {using!r}")


def own_session(connection: BaseDatabaseWrapper) -> Any:
    """Return a new psycopg connection to a PostgreSQL database, outside Django's pool, in autocommit mode."""
    with connection.wrap_database_errors:
        return connection.Database.connect(**connection.get_connection_params(), autocommit=True)  # type: ignore[attr-defined]


def file_identity(connection: BaseDatabaseWrapper) -> File:
    """Return what distinguishes a SQLite file from another of its name; None if it is missing, or PostgreSQL's."""
    if connection.vendor != "sqlite":
        return None
    try:
        status = os.stat(connection.settings_dict["NAME"])  # noqa: PTH116 (each write asks, and a Path costs more)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def ensure_own_file(connection: BaseDatabaseWrapper) -> File:
    """Connect, again if the file was replaced: whatever is written to a deleted file is lost. Return which it is."""
    file = file_identity(connection)
    if file is None and connection.vendor == "sqlite":
        connection.close()
        raise OperationalError(missing(connection.settings_dict["NAME"]))
    is_another = getattr(connection, "tmsdash_file", None) != file or getattr(connection.connection, "was_empty", False)
    if connection.connection is not None and is_another:
        connection.close()
    connection.ensure_connection()
    return file


@receiver(connection_created)
def _note_file(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite" and is_file_name(name) and not only_looks():  # in memory it is this process' alone
        try:
            is_ours = share(Path(name))
        except OSError as error:
            connection.close()
            raise OperationalError(f"{error.filename}: {error.strerror}") from error
        if not is_ours:
            connection.close()  # it may be to a file that is being replaced
            raise OperationalError(f"database {connection.alias!r} is being restored")
        connection.tmsdash_file = file_identity(connection)  # type: ignore[attr-defined]


def _set_busy_timeout(connection: BaseDatabaseWrapper, seconds: float) -> None:
    if connection.connection is not None:  # a failed transaction may have closed it
        # Below Django's cursor, because this is not a statement of the transaction. In tenths of a second, because
        # SQLite reads a text that it has read before in no time.
        connection.connection.execute(f"PRAGMA busy_timeout = {max(0, int(seconds * 10)) * 100}")


def are_different() -> bool:
    """Tell whether the three databases are three; two that are one would share a table of applied migrations."""
    keys = ("ENGINE", "HOST", "PORT", "NAME")
    places = {tuple(str(database.settings_dict.get(key)) for key in keys) for database in connections.all()}
    return len(places) == len(VARIABLES)
