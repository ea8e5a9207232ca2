"""Changing the databases' tables: one process at a time, on all hosts."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from psycopg import Connection

from tmsdash.db.locks import alone
from tmsdash.db.transactions import own_session

NEW_INSTALLATION = "new_installation"  # the tag of checks that stop a new installation beside an old one
POLL_S = 0.5  # how often who waits looks whether the lock is free
ADVISORY_LOCK = 7_305_808_837  # any number, but the same one in every process
LATER = (
    "Nothing was changed, nothing was started: the databases are of a later version of the product (they have {}). Run "
    "that version, or take them back with its manage.py migrate_all --back-to and the folder of this one."
)
MIGRATE_FIRST = " The databases are not up to date. Run manage.py migrate_all first."


def are_migrations_due() -> bool:
    """Tell whether a database is older than this version of the product; False if one does not answer."""
    try:
        executors = [MigrationExecutor(connection) for connection in connections.all()]
        return any(executor.migration_plan(executor.loader.graph.leaf_nodes()) for executor in executors)
    except Error:
        return False


@contextmanager
def migrating_alone(say: Callable[[str], None], aliases: Iterable[str] = connections) -> Iterator[None]:
    """Be the only process that changes the tables of these databases; wait for others, and `say` so in a sentence.

    A file lock keeps out the processes of this host. Where a database is PostgreSQL, an advisory lock
    in it keeps out other hosts. Raises OSError or django.db.Error if a lock cannot be had.
    """
    with ExitStack() as stack:
        waiting = "Another process is migrating the databases; waiting until it has finished."
        stack.enter_context(alone("migrate", lambda: say(waiting)))
        for connection in [connections[alias] for alias in aliases]:
            if connection.vendor == "postgresql":
                stack.enter_context(_advisory_lock(connection, lambda: say(waiting)))
        yield


@contextmanager
def _advisory_lock(connection: BaseDatabaseWrapper, on_wait: Callable[[], None]) -> Iterator[None]:
    # A connection of its own, outside the pool: migrations may reconnect. The lock is that of a transaction that stays
    # open for as long as they take: a pooler such as PgBouncer may lend a session to anybody. Who waits has no open
    # transaction, or waiting processes would use up the connections of a pooler that the one with the lock needs.
    with closing(own_session(connection)) as session:
        with connection.wrap_database_errors:
            if not _takes_lock(session):
                on_wait()
                while not _takes_lock(session):
                    time.sleep(POLL_S)
        yield


def _takes_lock(session: Connection[Any]) -> bool:
    """Take the lock in a transaction, and leave that open; False, and no transaction, if another one has the lock."""
    session.execute("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0")
    row = session.execute("SELECT pg_try_advisory_xact_lock(%s)", [ADVISORY_LOCK]).fetchone()
    if row and row[0]:
        return True
    session.execute("ROLLBACK")
    return False
