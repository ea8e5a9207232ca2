"""An audit's database that is gone, emptied, cut off or another one is a finding, and nothing is made in its place."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from django.db import OperationalError, connections

from audit.proof.seals import write_seal
from audit.tests.making import tampering
from audit.tests.sealing import head, run

pytestmark = pytest.mark.usefixtures("databases", "empty_seal_dir")
COMMANDS = {
    "audit_verify": [],
    "audit_seal": [],
    "audit_archive": ["--before", "2026-01-01"],
    "audit_keys": [],
    "audit_export": [],
}


@pytest.fixture
def file(audited, tmp_path, monkeypatch):
    """A copy of the audit's file, in the place of the tests' own."""
    write_seal(head())
    connection = connections["audit"]
    connection.close()
    copy = tmp_path / "audit.db"
    shutil.copy(connection.settings_dict["NAME"], copy)
    monkeypatch.setitem(connection.settings_dict, "NAME", str(copy))
    yield copy
    connection.close()


def cut(file, size):
    file.write_bytes(file.read_bytes()[:size])


def without_tables(file):
    file.unlink()
    with closing(sqlite3.connect(file)) as session:
        session.execute("PRAGMA journal_mode=WAL")


def without(file, statement):
    with closing(sqlite3.connect(file)) as session:
        session.execute(statement)


DAMAGES = {
    "is not there": Path.unlink,
    "has no bytes": lambda file: cut(file, 0),
    "is no database": lambda file: file.write_bytes(b"x" * 5000),
    "is damaged, or its end was cut off": lambda file: cut(file, file.stat().st_size // 2),
    "is no file": lambda file: (file.unlink(), file.mkdir()),
    "has none of the site's tables": without_tables,
    "lacks what it had: no such table: audit_auditentry": lambda file: without(file, "DROP TABLE audit_auditentry"),
}


@pytest.mark.sqlite
@pytest.mark.parametrize("problem", DAMAGES)
def test_each_command_names_it_and_ends_with_3(file, problem):
    DAMAGES[problem](file)
    before = [(path.name, path.is_file() and path.read_bytes()) for path in _files(file)]
    for command, arguments in COMMANDS.items():
        code, printed = run(command, *arguments)
        assert (command, code) == (command, 3)
        assert "database audit: " in printed
        assert problem in printed
        connections["audit"].close()
        assert [(path.name, path.is_file() and path.read_bytes()) for path in _files(file)] == before
    facts = json.loads(run("audit_verify", "--json")[1])
    assert (facts["whole"], facts["first_bad"], facts["seals"]) == (False, "database audit", 1)


def _files(file):
    return sorted(path for path in file.parent.glob("audit.db*") if not path.name.endswith(("-wal", "-shm", ".lock")))


@pytest.mark.sqlite
def test_wherever_a_file_is_cut_off_that_is_a_finding(file):
    """Also where what is read first is still there."""
    whole = file.read_bytes()
    for pages in (1, 2, 5, 20, len(whole) // 4096 - 1):
        file.write_bytes(whole[: pages * 4096])
        code, printed = run("audit_verify")
        assert (pages, code, "First bad: " in printed) == (pages, 3, True)
        connections["audit"].close()


def test_a_database_that_only_does_not_answer_is_no_finding(audited, monkeypatch):
    def locked(*args, **kwargs):
        raise OperationalError("database is locked")

    monkeypatch.setattr("audit.proof.verification.stored_head", locked)
    with pytest.raises(Exception, match="cannot be read, so nothing is proven. database is locked"):
        run("audit_verify")


@pytest.mark.sqlite
def test_text_that_is_no_utf8_is_found_where_it_stands(audited):
    with tampering() as cursor:
        cursor.execute("UPDATE audit_auditentry SET user_id = CAST(X'ff' AS TEXT) WHERE sequence = 4")
        cursor.execute("UPDATE audit_attempt SET note = CAST(X'ff' AS TEXT) WHERE id = 1")
    code, printed = run("audit_verify")
    assert (code, "First bad: entry 4. " in printed) == (3, True)
    assert "Its row says that note is '\\udcff'" in printed
    code, printed = run("audit_seal")
    assert code == 3


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("name", "problem"), [("nowhere", "The server has no database nowhere."), ("postgres", "none of the site's tables")]
)
def test_a_database_of_postgresql_that_is_gone_is_named(audited, monkeypatch, name, problem):
    connection = connections["audit"]
    connection.close()
    with monkeypatch.context() as patch:
        patch.setitem(connection.settings_dict, "NAME", name)
        patch.setattr(connection, "_connection_pools", {})
        for command, arguments in COMMANDS.items():
            code, printed = run(command, *arguments)
            assert (command, code) == (command, 3)
            assert "database audit: " in printed
            assert problem in printed
        connection.close()
