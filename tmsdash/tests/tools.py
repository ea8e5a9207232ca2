"""What several test files need: processes, threads and connections besides the test's own."""

import html
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import cache, partial
from pathlib import Path

import psycopg
from django.conf import settings
from django.db import connections
from django.test.utils import CaptureQueriesContext

from audit.models import AuditEntry
from tmsdash.processes import END_SIGNALS
from tmsdash.tests import forked

# For processes that begin where no installation is yet: only migrating makes keys.
KEYS = {"SECRET_KEY": "s" * 50, "TOKEN_KEY": "t" * 32, "AUDIT_KEY": "a" * 32}
WAIT_S = 60  # for what another thread does; it is over long before


def run_python(*arguments, var_dir, **environment):
    """Run Python in the project's folder with no settings but these in its environment."""
    clean = {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, "VAR_DIR": str(var_dir)} | environment
    if arguments[0] == "manage.py":
        return forked.run(settings.BASE_DIR / "manage.py", arguments[1:], env=clean, timeout_s=120)
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=settings.BASE_DIR,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@cache
def _migrated(keys):
    folder = Path(tempfile.mkdtemp(dir=settings.VAR_DIR)) / "var"
    ended = run_python("manage.py", "migrate_all", "-v0", var_dir=folder, **dict(keys))
    assert ended.returncode == 0, ended.stderr
    return folder


def install(var_dir, **keys):
    """Make `var_dir` that of a new installation: with databases that are migrated, and the keys that are not given.

    Migrating takes seconds, so all of the same keys are copies of one.
    """
    shutil.copytree(_migrated(tuple(sorted(keys.items()))), var_dir, dirs_exist_ok=True)


def until(condition, timeout_s=300):
    """Return once `condition()` is true of another process, which nobody tells us of; fail if it never is."""
    give_up = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up, "it did not come about"
        time.sleep(0.05)  # another process: there is no event to wait for


def free_ports(count):
    """So many ports of the loopback address on which nobody listens."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def heeding_signals(*ignored):
    """As a `preexec_fn`: let a process heed the signals that end it, whatever this one ignores, except `ignored`."""
    for number in END_SIGNALS:
        signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)


def signals_of(pid, row):
    """The signals in a row of a process' status: "SigIgn" those that it ignores, "SigBlk" those that it holds back."""
    mask = int(re.search(rf"^{row}:\s(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1], 16)
    return {number for number in signal.Signals if mask >> (number - 1) & 1}


def database_bytes(file):
    """Everything in the files of a SQLite database, which is in use.

    Read by another process: one that closes such a file loses its own locks on it, and SQLite, in another process,
    may then remove the WAL under its connections.
    """
    paths = sorted(file.parent.glob(f"{file.name}*"))
    return subprocess.run(["/bin/cat", *paths], capture_output=True, check=True).stdout


class TooLate(BaseException):
    """Raised wherever the program happens to be; no handler of the product's takes it."""


@contextmanager
def done_within(seconds):
    """Fail what computes so long that it would not end at all, inside a regular expression, too.

    Only the time of this process counts, so that nothing else on the machine makes a difference.
    """

    def give_up(*_):
        raise TooLate

    before = signal.signal(signal.SIGPROF, give_up)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    except TooLate:  # its traceback comes from the middle of a statement, of which pytest can make nothing
        raise AssertionError(f"not done after {seconds} s") from None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


class Clock:
    """A clock that a test sets; takes the place of the module `time`."""

    def __init__(self, now):
        self.now = now

    def time(self):
        return self.now

    monotonic = time


class Gate:
    """A place in a thread's work: it says that it has come there, and goes on once the test opens the gate."""

    def __init__(self):
        self._reached, self._opened = threading.Event(), threading.Event()

    def enter(self):
        self._reached.set()
        assert self._opened.wait(WAIT_S)

    def await_entry(self):
        assert self._reached.wait(WAIT_S)

    def open(self):
        self._opened.set()


@contextmanager
def threads(count=1):
    """So many threads; `submit(function, *args)` returns a future. Each call has database connections of its own."""
    with ThreadPoolExecutor(count) as executor:
        yield partial(executor.submit, _and_close)


def in_thread(function, *args):
    """Return what `function` returns in another thread, which has database connections of its own."""
    with threads() as submit:
        return submit(function, *args).result(WAIT_S)


def at_once(count, function):
    """Return what `function(0)` to `function(count - 1)` return in as many threads that start together."""
    barrier = threading.Barrier(count, timeout=WAIT_S)

    def start(number):
        barrier.wait()
        return function(number)

    with threads(count) as submit:
        return [future.result() for future in [submit(start, number) for number in range(count)]]


def forget_sessions():
    """Close this thread's connections, and those that PostgreSQL's pools keep."""
    for connection in connections.all():
        connection.close()
        connection.close_pool()


def _and_close(function, *args, **options):
    try:
        return function(*args, **options)
    finally:
        connections.close_all()


@contextmanager
def other_process(alias):
    """A connection that is none of Django's, as another process has it: with no patience for locks."""
    connection = connections[alias]
    described = connection.settings_dict
    if connection.vendor == "sqlite":
        with closing(sqlite3.connect(described["NAME"], timeout=0, isolation_level=None)) as other:
            yield other
        return
    names = {"host": described["HOST"], "port": described["PORT"], "user": described["USER"]}
    with psycopg.connect(dbname=described["NAME"], password=described["PASSWORD"], **names) as other:
        other.execute("SET lock_timeout = 1")
        yield other
        other.rollback()


@contextmanager
def locked(alias, table):
    """Another process holds a write lock: on the whole file with SQLite, on `table` with PostgreSQL."""
    with other_process(alias) as other:
        sqlite = connections[alias].vendor == "sqlite"
        other.execute("BEGIN IMMEDIATE" if sqlite else f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def table_missing(alias, table):
    """The database `alias` has lost a table."""

    def rename(old, new):
        with connections[alias].cursor() as cursor:
            cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")

    rename(table, f"{table}_gone")
    try:
        yield
    finally:
        rename(f"{table}_gone", table)


def pragma(alias, name):
    """Return what SQLite says is in force on this thread's connection."""
    connections[alias].ensure_connection()
    return connections[alias].connection.execute(f"PRAGMA {name}").fetchone()[0]


@contextmanager
def traced(alias):
    """Collect the statements that reach SQLite itself, its PRAGMAs and BEGINs included."""
    connection = connections[alias]
    connection.ensure_connection()
    statements: list[str] = []
    connection.connection.set_trace_callback(statements.append)
    try:
        yield statements
    finally:
        connection.connection.set_trace_callback(None)


def stored_bytes():
    """All bytes of the three databases: their files and WAL files, or a dump of a server's tables."""
    content = b""
    for connection in connections.all():
        if connection.vendor == "sqlite":
            name = Path(connection.settings_dict["NAME"])
            content += database_bytes(name)
        else:
            with connection.cursor() as cursor:
                for table in connection.introspection.table_names(cursor):
                    cursor.execute(f'SELECT * FROM "{table}"')
                    content += repr(cursor.fetchall()).encode()
    return content


def text_of(response):
    """Return a page as a reader sees it: without tags and entities, white space as single spaces."""
    visible = re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", response.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(visible))


def kinds_of(attempt_id):
    """Return the kinds of an attempt's events, oldest first."""
    return list(AuditEntry.objects.filter(attempt_id=attempt_id).order_by("sequence").values_list("kind", flat=True))


@contextmanager
def counted_queries():
    """Yield a list that holds, after the block, the queries of all databases that it made."""
    queries = []
    with ExitStack() as stack:
        captured = [stack.enter_context(CaptureQueriesContext(connection)) for connection in connections.all()]
        yield queries
    queries += [query for database in captured for query in database.captured_queries]
