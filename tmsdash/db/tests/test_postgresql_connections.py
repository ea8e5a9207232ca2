"""What `check --database` says of PostgreSQL's servers: whether they take what all workers may open."""

import os

import pytest
from django.core.management import call_command
from django.db import connections

from tmsdash.db.postgresql import too_few_connections


@pytest.mark.sqlite
def test_sqlite_needs_no_connections_of_a_server(databases):
    assert list(too_few_connections(64, connections)) == []


@pytest.fixture
def small_pools(databases, monkeypatch):
    for alias in connections:
        monkeypatch.setitem(connections[alias].settings_dict["OPTIONS"], "pool", {"max_size": 2, "wait_s": 5})


@pytest.mark.postgresql
def test_a_server_that_takes_fewer_connections_than_the_workers_may_open_is_named_with_all_figures(small_pools):
    assert list(too_few_connections(1, connections)) == []
    [sentence] = too_few_connections(1000, connections)
    port = os.environ["TEST_POSTGRES_URL"].rpartition(":")[2]
    assert sentence == (
        f"PostgreSQL on 127.0.0.1, port {port}, takes 297 connections (max_connections 300, of which 3 are reserved), "
        "and this host may open 6000 (WEB_WORKERS 1000 x WEB_THREADS 2 x 3 databases), as may every other one that "
        "serves the site: raise max_connections, lower WEB_WORKERS or WEB_THREADS, or put PgBouncer in between."
    )
    [sentence] = too_few_connections(1000, ["jobs"])
    assert "may open 2000 (WEB_WORKERS 1000 x WEB_THREADS 2 x 1 databases)" in sentence


@pytest.mark.postgresql
def test_check_says_so_of_the_databases_that_it_is_given(small_pools, settings, capsys):
    settings.WEB_WORKERS = 1000
    settings.CALLS_PER_WORKER = 1
    call_command("check", databases=list(connections))
    assert "?: (tmsdash.W009) PostgreSQL on 127.0.0.1" in capsys.readouterr().err
    call_command("check")
    assert "W009" not in capsys.readouterr().err


@pytest.mark.postgresql
def test_check_says_in_a_sentence_that_a_server_does_not_answer(databases, monkeypatch, capsys):
    jobs = connections["jobs"]
    for port in (1, jobs.settings_dict["PORT"]):
        jobs.close()
        jobs.close_pool()
        monkeypatch.setitem(jobs.settings_dict, "PORT", port)
        call_command("check", databases=["jobs"])
        assert ("(tmsdash.W012) A PostgreSQL server does not answer: " in capsys.readouterr().err) == (port == 1)


def set_in_session(alias, statement):
    with connections[alias].cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.postgresql
def test_a_server_that_may_forget_what_it_confirmed_is_named_for_jobs_and_audit_only(databases, capsys):
    for alias in connections:
        set_in_session(alias, "SET synchronous_commit = off")
    call_command("check", databases=["default"])
    assert "W013" not in capsys.readouterr().err
    for alias in "jobs", "audit":
        call_command("check", databases=[alias])
        problem = f"(tmsdash.W013) PostgreSQL may forget what it has confirmed to database '{alias}': "
        assert problem in (said := capsys.readouterr().err)
        assert "synchronous_commit" in said
        set_in_session(alias, "SET synchronous_commit = local")  # on this server's disk
        call_command("check", databases=[alias])
        assert "synchronous_commit" not in capsys.readouterr().err
    for alias in connections:
        set_in_session(alias, "RESET synchronous_commit")  # it goes back to its pool
