"""Several processes that migrate at once: one does it, the others wait for it."""

import os
import re
import subprocess
import sys
from contextlib import ExitStack, closing

import psycopg
import pytest
from django.conf import settings as django_settings

from tmsdash.db.locks import alone
from tmsdash.db.migration import migrating_alone
from tmsdash.tests.tools import KEYS, WAIT_S, Gate, run_python, threads

AT_ONCE = 5
NAMES = {"DATABASE_URL": "app", "JOBS_DATABASE_URL": "jobs", "AUDIT_DATABASE_URL": "audit"}


def migrate_at_once(tmp_path, stack, **environment):
    """Start migrate_all several times on the same empty databases; returns exit code, output and messages of each."""
    clean = {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull}
    processes = []
    for number in range(AT_ONCE):
        var_dir = environment.get("VAR_DIR") or str(tmp_path / f"host{number}")
        process = subprocess.Popen(
            [sys.executable, "manage.py", "migrate_all"],
            cwd=django_settings.BASE_DIR,
            env=clean | environment | {"VAR_DIR": var_dir},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(stack.enter_context(process))
    return [(process.wait(120), *process.communicate()) for process in processes]


def assert_one_migrated(ended):
    assert [code for code, *_ in ended] == [0] * AT_ONCE, ended
    assert sorted(printed.count("No migrations to apply.") for _, printed, _ in ended) == [0] + [3] * (AT_ONCE - 1)
    assert "Traceback" not in "".join(said for *_, said in ended)


@pytest.mark.sqlite
def test_of_several_processes_on_empty_sqlite_files_one_migrates(tmp_path):
    with ExitStack() as stack:
        assert_one_migrated(migrate_at_once(tmp_path, stack, VAR_DIR=str(tmp_path)))


@pytest.mark.postgresql
def test_of_several_hosts_on_empty_postgresql_databases_one_migrates(tmp_path, new_postgresql_databases):
    """Each has a VAR_DIR of its own, so that the lock of the file keeps nobody out."""
    with ExitStack() as stack:
        assert_one_migrated(migrate_at_once(tmp_path, stack, **new_postgresql_databases))


@pytest.fixture
def new_postgresql_databases():
    """Three empty databases on the server of the tests."""
    server = os.environ["TEST_POSTGRES_URL"]
    with closing(psycopg.connect(f"{server}/postgres", autocommit=True)) as session:
        for name in NAMES.values():
            session.execute(f"CREATE DATABASE empty_{name}")
        yield {variable: f"{server}/empty_{name}" for variable, name in NAMES.items()}
        for name in NAMES.values():
            session.execute(f"DROP DATABASE empty_{name} WITH (FORCE)")


@pytest.mark.postgresql
@pytest.mark.parametrize("command", ["rebuild_lists", "reconcile", "backup b", "audit_seal", "serve --port 1"])
def test_postgresql_databases_without_tables_are_named_with_what_to_do(tmp_path, new_postgresql_databases, command):
    ended = run_python("manage.py", *command.split(), var_dir=tmp_path, **KEYS, **new_postgresql_databases)
    assert ended.returncode
    assert "Traceback" not in ended.stderr
    assert re.search(r"[Rr]un manage\.py migrate_all", ended.stderr)


def test_who_has_to_wait_is_told_so_once_and_goes_on_when_the_other_has_finished(settings, tmp_path):
    settings.VAR_DIR = tmp_path / "new"
    order, gate = [], Gate()

    def first():
        with alone("work", lambda: order.append("first waits")):
            gate.enter()
            order.append("first ends")

    def on_wait():
        order.append("second waits")
        gate.open()

    with threads() as submit:
        other = submit(first)
        gate.await_entry()
        with alone("work", on_wait):
            order.append("second begins")
    other.result()
    assert order == ["second waits", "first ends", "second begins"]


def test_work_of_another_name_waits_for_nobody(settings, tmp_path):
    settings.VAR_DIR = tmp_path
    with alone("one", lambda: pytest.fail("waited")), alone("two", lambda: pytest.fail("waited")):
        pass


def test_who_freezes_with_the_lock_keeps_nobody_waiting_for_ever_who_does_not_want_to(settings, tmp_path):
    settings.VAR_DIR = tmp_path
    with alone("work", lambda: pytest.fail("waited")), pytest.raises(TimeoutError, match="has held it for 0 s"):
        with alone("work", lambda: None, wait_s=0.2):
            pytest.fail("two at once")
    with alone("work", lambda: pytest.fail("waited")):
        pass


def test_an_error_gives_the_lock_back(settings, tmp_path):
    settings.VAR_DIR = tmp_path
    with pytest.raises(ZeroDivisionError), alone("work", lambda: pytest.fail("waited")):
        _ = 1 / 0
    with alone("work", lambda: pytest.fail("waited")):
        pass


@pytest.mark.postgresql
def test_who_migrates_waits_for_another_host_and_says_so(databases, settings, tmp_path):
    said, gate = [], Gate()

    def other_host():
        settings.VAR_DIR = tmp_path / "other"
        with migrating_alone(said.append):
            gate.enter()

    def this_host(line):
        said.append(line)
        gate.open()

    with threads() as submit:
        other = submit(other_host)
        gate.await_entry()
        settings.VAR_DIR = tmp_path / "this"
        with migrating_alone(this_host):
            other.result(WAIT_S)
    assert said == ["Another process is migrating the databases; waiting until it has finished."]
