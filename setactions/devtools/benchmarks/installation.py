"""The throwaway installations that benchmarks run on."""

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg
from django.conf import settings
from django.core.management.base import CommandError
from psycopg import sql

SERVER_URL = "BENCH_POSTGRES_URL"
DATABASES = {"app": "DATABASE_URL", "jobs": "JOBS_DATABASE_URL", "audit": "AUDIT_DATABASE_URL"}


@contextmanager
def installation(*, on_postgresql: bool) -> Iterator[Mapping[str, str]]:
    """Make an installation in a temporary folder, and yield the environment in which commands work on it."""
    with tempfile.TemporaryDirectory(prefix="tmsdash-bench-") as folder, _databases(on_postgresql) as urls:
        environment = {name: value for name, value in os.environ.items() if not name.endswith("DATABASE_URL")}
        environment |= urls | {
            "ENV_FILE": os.devnull,
            "NO_PROXY": "*",  # the bare calls of the floor stay on loopback, too
            "VAR_DIR": f"{folder}/var",
            "AUDIT_SEAL_DIR": f"{folder}/seals",
            "TMS_MAX_CIDS_PER_CALL": "30000",
            "TMS_CLUSTERS": "",
            "DJANGO_SETTINGS_MODULE": "tmsdash.settings",
        }
        manage(environment, "migrate_all", "-v0")
        yield environment


def manage(environment: Mapping[str, str], *command: str, quiet: bool = False) -> None:
    """Run a command on the installation; raise CommandError if it fails, after it has said why."""
    arguments, output = [sys.executable, "manage.py", *command], subprocess.DEVNULL if quiet else None
    if subprocess.run(arguments, env=environment, cwd=settings.BASE_DIR, stdout=output).returncode:  # noqa: S603
        raise CommandError(f"{' '.join(command[:2])} did not end well; see above.")


@contextmanager
def _databases(on_postgresql: bool) -> Iterator[dict[str, str]]:
    """Yield the addresses of three new databases; none for SQLite, whose files are in VAR_DIR."""
    if not on_postgresql:
        yield {}
        return
    server = os.environ.get(SERVER_URL, "").rstrip("/")
    if not server:
        raise CommandError(f"Set {SERVER_URL} to a server whose user may create databases: postgres://user@host:port")
    tag = secrets.token_hex(4)
    names = {name: f"bench_{tag}_{name}" for name in DATABASES}
    with psycopg.connect(f"{server}/postgres", autocommit=True) as session:
        for name in names.values():
            session.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield {variable: f"{server}/{names[name]}" for name, variable in DATABASES.items()}
        finally:
            for name in names.values():
                session.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
