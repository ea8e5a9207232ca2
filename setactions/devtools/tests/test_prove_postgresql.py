"""The proof on PostgreSQL: databases that are made, copied for the judge, and dropped."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from django.core.management import CommandError, call_command

from setactions.devtools.proofs.postgresql import ServerDatabases
from setactions.devtools.proofs.site import Site
from setactions.management.commands.prove import CONTROL, SERVER

ID = UUID("00000000-0000-4000-8000-000000000001")


@pytest.mark.postgresql
def test_the_judge_reads_files_with_the_values_that_sqlite_would_have_and_nothing_is_left(tmp_path):
    databases = ServerDatabases(os.environ[SERVER])
    with psycopg.connect(databases.urls["JOBS_DATABASE_URL"]) as jobs:
        jobs.execute("CREATE TABLE jobs_job (job_id uuid, payload jsonb, legacy boolean, mac bytea, code int, at date)")
        row = [ID, '{"cids": ["a1"]}', True, b"\xff", 2, "2026-01-02"]
        jobs.execute("INSERT INTO jobs_job VALUES (%s, %s, %s, %s, %s, %s), (NULL, NULL, NULL, NULL, 3, NULL)", row)
    databases.copy_to(tmp_path)
    databases.drop()
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as file:
        assert file.execute("SELECT * FROM jobs_job").fetchall() == [
            (ID.hex, '{"cids": ["a1"]}', 1, b"\xff", 2, "2026-01-02"),
            (None, None, None, None, 3, None),
        ]
    assert {path.name for path in tmp_path.iterdir()} == {"app.db", "jobs.db", "audit.db"}
    for url in databases.urls.values():
        with pytest.raises(psycopg.OperationalError, match="does not exist"):
            psycopg.connect(url)


def test_without_a_server_it_says_how_to_give_it_one(monkeypatch):
    monkeypatch.delenv(SERVER, raising=False)
    with pytest.raises(CommandError, match="Set TEST_POSTGRES_URL, such as by .ci/with-postgres"):
        call_command("prove", "--postgresql")


def test_a_server_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv(SERVER, "postgres://tms@127.0.0.1:9")
    with pytest.raises(CommandError, match="No databases could be made on the PostgreSQL server"):
        call_command("prove", "--postgresql")


def test_a_proof_that_restarts_its_server_says_that_it_has_to(monkeypatch):
    monkeypatch.setenv(SERVER, "postgres://tms@127.0.0.1:9")
    monkeypatch.delenv(CONTROL, raising=False)
    with pytest.raises(CommandError, match="Set TEST_POSTGRES_CONTROL, such as by .ci/with-postgres"):
        call_command("prove", "--postgresql", "--queue-faults", "1")


@pytest.mark.postgresql
def test_another_host_shares_the_keys_and_no_file(tmp_path):
    with Site(tmp_path, {}, os.environ[SERVER]) as site:
        (tmp_path / "token_key").write_text("a key")
        first, second = (Path(site.new_host()["VAR_DIR"]) for _ in range(2))
        assert first != second
        (second / "token_key").write_text("another key")
        assert (first / "token_key").read_text() == (tmp_path / "token_key").read_text() == "a key"


def test_on_sqlite_all_processes_share_a_host(tmp_path):
    with Site(tmp_path, {}) as site:
        assert site.new_host() == {}
