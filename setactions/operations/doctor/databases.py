"""The three databases: there, sound, migrated, and open to the role that serves."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

from audit.models import AuditEntry
from jobs.models import Job
from setactions.operations.doctor.findings import Finding, Findings, Well, note
from setactions.operations.doctor.site import Site
from tmsdash.db.transactions import VARIABLES, are_different
from tmsdash.models import Session

WRITTEN = {"default": Session, "jobs": Job, "audit": AuditEntry}  # a table of each that serving writes to
_ROLE = """
SELECT current_user, rolsuper, has_table_privilege(%s, 'INSERT'),
    pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'
FROM pg_roles WHERE rolname = current_user
"""


def look(site: Site) -> Findings:
    """Yield what is wrong with the databases."""
    has_folder = Path(settings.VAR_DIR).is_dir()  # if it has not, that is a finding of its own
    problems = [problem for problem in site.problems.values() if problem]
    yield from _distinct(problem for problem in problems if has_folder or problem.id != "database.missing")
    if not are_different():
        sentence = f"Of {', '.join(VARIABLES.values())} at least two lead to the same database."
        yield Finding("database.same", sentence, "Name three different ones; docs/postgresql.sql makes them.")
    yield from _migrations([connections[alias] for alias in site.answering])
    for alias in site.answering:
        connection = connections[alias]
        if connection.vendor == "postgresql":
            yield from _role(connection)
    if len(site.answering) == len(list(connections)):
        engines = sorted({{"sqlite": "SQLite", "postgresql": "PostgreSQL"}[connections[a].vendor] for a in connections})
        yield Well(f"three databases on {' and '.join(engines)} answer")


def _distinct(findings: Iterable[Finding]) -> Findings:
    """Yield findings, of those that one command mends only the first: a new site has three missing files."""
    mended = set()
    for finding in findings:
        if finding.mend not in mended or not finding.mend.startswith("manage.py"):
            yield finding
        mended.add(finding.mend)


def _migrations(answering: list[BaseDatabaseWrapper]) -> Findings:
    """Yield which databases are of another version than the program."""
    behind: dict[str, str] = {}
    for connection in answering:
        executor = MigrationExecutor(connection)
        due = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if due:
            first, more = f"{due[0][0].app_label}.{due[0][0].name}", f" and {len(due) - 1} more" if due[1:] else ""
            behind[connection.alias] = f"{connection.alias} ({first}{more})"
        unknown = [
            f"{app}.{name}"
            for app, name in executor.loader.applied_migrations
            if app in executor.loader.migrated_apps
            and (app, name) not in executor.loader.disk_migrations
            and not _is_replaced(executor, app, name)
        ]
        if unknown:
            sentence = f"Database {connection.alias!r} is of a later version: this one does not know {min(unknown)}."
            mend = "Run that version; or go back as docs/upgrade.md shows, by its manage.py migrate_all --back-to."
            yield Finding("database.newer", sentence, mend)
    if behind:
        sentence = f"Databases are of an earlier version; migrations are due on {', '.join(behind.values())}."
        yield Finding("database.unmigrated", sentence, "manage.py migrate_all")


def _is_replaced(executor: MigrationExecutor, app: str, name: str) -> bool:
    return any((app, name) in migration.replaces for migration in executor.loader.replacements.values())


def _role(connection: BaseDatabaseWrapper) -> Findings:
    """Yield what the role of a PostgreSQL database may not do, or need not be able to."""
    alias, table = connection.alias, WRITTEN[connection.alias]._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [table])
        if not cursor.fetchone()[0]:
            return  # it has to be migrated first
        cursor.execute(_ROLE, [table])
        role, is_superuser, may_write, is_read_only = _row(cursor.fetchone())
    if not may_write:
        sentence = f"Database {alias!r}: the role {role} may not write to {table}."
        yield Finding("database.role", sentence, f"psql -v server={role} -f docs/postgresql.sql OWNER'S-URL")
    elif is_read_only and not settings.TMS_PASSIVE:
        sentence = f"Database {alias!r} takes no writes: its server is a stand-by or read-only."
        mend = f"Let {VARIABLES[alias]} lead to the server that takes writes, or set TMS_PASSIVE=true on a stand-by."
        yield Finding("database.read_only", sentence, mend)
    if is_superuser:
        sentence = f"Database {alias!r}: the role {role} is a superuser of PostgreSQL, which could change the audit."
        yield note(
            "database.superuser", sentence, "Use a role that may no more than serving takes: docs/postgresql.sql"
        )


def _row(row: Any) -> tuple[str, bool, bool, bool]:
    role, *flags = row
    return (str(role), *map(bool, flags))  # type: ignore[return-value]
