"""The throwaway installation that benchmarks run on: made once, and as new for each of them."""

import multiprocessing
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path

import psycopg
from django.conf import settings
from django.core.management.base import CommandError
from psycopg import sql

from setactions.devtools.benchmarks import BENCHMARKS, measurement
from setactions.devtools.benchmarks.measurement import Row

SERVER_URL = "BENCH_POSTGRES_URL"
DATABASES = {"app": "DATABASE_URL", "jobs": "JOBS_DATABASE_URL", "audit": "AUDIT_DATABASE_URL"}
PRISTINE = "pristine"


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


def manage(environment: Mapping[str, str], *command: str) -> None:
    """Run a command on the installation; raise CommandError if it fails, after it has said why."""
    arguments = [sys.executable, "manage.py", *command]
    if subprocess.run(arguments, env=environment, cwd=settings.BASE_DIR).returncode:  # noqa: S603
        raise CommandError(f"{' '.join(command[:2])} did not end well; see above.")


def run_each(names: Sequence[str], rounds: Mapping[str, int]) -> tuple[list[Row], list[str]]:
    """Run benchmarks on the installation of this process; return their rows, and the names of those that failed.

    Each runs in a process of its own, which changes settings as it likes, on the databases as they were at first.
    """
    var_dir = Path(settings.VAR_DIR)
    pristine = var_dir.parent / PRISTINE
    shutil.copytree(var_dir, pristine)
    rows: list[Row] = []
    failed = []
    fork = multiprocessing.get_context("fork")  # Django and the benchmarks are loaded already
    for name in names:
        measurement.rounds = rounds[name]
        reader, writer = fork.Pipe(duplex=False)
        process = fork.Process(target=_run, args=(name, writer))
        process.start()
        writer.close()
        with suppress(EOFError):  # it ended early, and has said why
            rows += reader.recv()
        process.join()
        if process.exitcode:
            failed.append(name)
        shutil.rmtree(var_dir)
        shutil.copytree(pristine, var_dir)
    return rows, failed


def _run(name: str, answers: Connection) -> None:
    passed = BENCHMARKS[name]()
    answers.send(measurement.rows)
    sys.exit(0 if passed else 1)


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
