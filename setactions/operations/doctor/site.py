"""The installation that `doctor` looks at, and what several topics want to know of it."""

import sqlite3
import threading
from functools import partial

from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.db import connections

from setactions.operations.doctor.findings import Finding
from setactions.operations.doctor.parallel import in_parallel
from setactions.operations.doctor.wrong_settings import Loaded
from tmsdash.db.moves import MovedError
from tmsdash.db.sqlite_files import missing
from tmsdash.db.transactions import VARIABLES, file_is_there
from tmsdash.text import one_line

ANSWER_WAIT_S = 12.0  # for a database
QUICK_CHECK_STEPS = 2_000_000  # of SQLite's machine: some seconds; a larger file is not looked through
RESTORE = "manage.py restore FOLDER/TIME, with the newest backup"
POSTGRESQL_SAYS = {
    "authentication failed": ("database.password", "Correct user and password in {variable}."),
    "no password supplied": ("database.password", "Put the password into {variable}."),
    "does not exist": ("database.absent", "Create it, or correct {variable}; docs/postgresql.sql says how."),
    "certificate": ("database.tls", "Correct sslmode and sslrootcert in {variable}."),
    "translate host name": ("database.name", "Correct the host in {variable}, or this host's DNS."),
    "resolve host": ("database.name", "Correct the host in {variable}, or this host's DNS."),
    "too many": ("database.full", "Raise max_connections, or lower WEB_THREADS; docs/operating.md: PgBouncer."),
}


class Site:
    """An installation; `loaded` says which of its settings are wrong."""

    def __init__(self, loaded: Loaded, wait_s: float = ANSWER_WAIT_S) -> None:
        self.loaded = loaded
        self._wait_s = wait_s
        self._guard = threading.Lock()
        self._problems: dict[str, Finding | None] | None = None

    @property
    def problems(self) -> dict[str, Finding | None]:
        """Return for each database why it cannot be used, None if it can."""
        with self._guard:
            if self._problems is None:
                problems = in_parallel([partial(_problem_as_list, alias) for alias in connections], self._wait_s)
                self._problems = {
                    alias: _frozen(alias, self._wait_s) if problem is None else next(iter(problem), None)
                    for alias, problem in zip(connections, problems, strict=True)
                }
            return self._problems

    @property
    def answering(self) -> list[str]:
        """Return the databases that can be used."""
        return [alias for alias, problem in self.problems.items() if problem is None]


def _frozen(alias: str, wait_s: float) -> Finding:
    sentence = f"Database {alias!r} has not answered within {wait_s:.0f} seconds."
    return Finding("database.frozen", sentence, "Look at its server: systemctl status postgresql")


def _problem_as_list(alias: str) -> list[Finding]:
    """Return why a database cannot be used, in a list that is empty if it can."""
    connection, variable = connections[alias], VARIABLES[alias]
    name = str(connection.settings_dict["NAME"])
    if not file_is_there(connection):
        sentence = f"Database {alias!r}: {missing(name)}"
        mend = "manage.py migrate_all"
        if any(file.is_file() for file in settings.DATABASE_FILES):
            mend = f"{RESTORE}; or correct {variable}. Others of the site's databases are there."
        return [Finding("database.missing", sentence, mend)]
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM django_migrations LIMIT 1")
            cursor.fetchall()
        damage = _damage(connection.connection) if connection.vendor == "sqlite" else ""
        if damage:
            return [Finding("database.broken", f"Database {alias!r} is damaged: {damage}.", RESTORE)]
    except MovedError as error:
        return [Finding("database.moved", str(error), f"Correct {variable} in .env, or do as it says.")]
    except AnyDatabaseError as error:
        said = " ".join(str(error).split()).partition(" Is the server running ")[0]
        return [_why(alias, one_line(said))]
    return []


def _damage(session: sqlite3.Connection) -> str:
    """Return what SQLite's quick check says, or nothing if it is well or would take long."""
    session.set_progress_handler(lambda: 1, QUICK_CHECK_STEPS)
    try:
        [result] = session.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        return "" if "interrupted" in str(error) else one_line(str(error))
    finally:
        session.set_progress_handler(None, 0)
    return "" if result == "ok" else one_line(str(result))


def _why(alias: str, error: str) -> Finding:
    described, variable = connections[alias].settings_dict, VARIABLES[alias]
    if "django_migrations" in error:
        return Finding("database.unmigrated", f"Database {alias!r} holds no tables.", "manage.py migrate_all")
    if connections[alias].vendor == "sqlite":
        if "unable to open" in error or "readonly" in error:
            mend = f"chown and chmod it for the user of the site: chmod 600 {described['NAME']}"
            return Finding("database.unreadable", f"Database {alias!r} cannot be opened: {error}.", mend)
        sentence = f"Database {alias!r} cannot be read: {error}."
        if "I/O" in error or "full" in error:  # the file may be whole
            return Finding("database.disk", sentence, f"Look at its disk: df {described['NAME']}; dmesg | tail")
        return Finding("database.broken", sentence, RESTORE)
    where = f"{described.get('HOST') or 'this host'}, port {described.get('PORT') or 5432}"
    sentence = f"Database {alias!r} ({variable}) on {where} cannot be used: {error.rstrip('.')}."
    for words, (name, mend) in POSTGRESQL_SAYS.items():
        if words in error:
            return Finding(name, sentence, mend.format(variable=variable))
    mend = f"systemctl start postgresql (on {described.get('HOST') or 'this host'}), or correct {variable} in .env."
    return Finding("database.away", sentence, mend)
