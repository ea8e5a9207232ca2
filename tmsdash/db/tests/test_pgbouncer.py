"""Behind PgBouncer, which lends out connections for a transaction each: what one client sets reaches no other."""

import os
from contextlib import closing, contextmanager

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections

from audit.choices import Outcome
from jobs.models import Job
from tmsdash.db import postgresql
from tmsdash.db.moves import TABLE, Mark, MovedError, Role
from tmsdash.db.transactions import write_transaction
from tmsdash.tests.tools import at_once, in_thread, until

pytestmark = [pytest.mark.pgbouncer, pytest.mark.postgresql, pytest.mark.usefixtures("databases", "fresh_sessions")]
LIMITS = ("idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout", "timezone")


@contextmanager
def straight(name="postgres"):
    """A session of PostgreSQL itself."""
    with closing(psycopg.connect(f"{os.environ['TEST_POSTGRES_DIRECT_URL']}/{name}", autocommit=True)) as session:
        yield session


def settings_of(session):
    return [session.execute("SELECT current_setting(%s)", [name]).fetchone()[0] for name in LIMITS]


def test_the_site_notices_a_pooler_by_itself():
    name = connections["jobs"].settings_dict["NAME"]
    connections["jobs"].ensure_connection()
    assert postgresql.is_pooled(connections["jobs"].connection)
    with straight(name) as session:
        assert not postgresql.is_pooled(session)


def test_what_the_site_sets_for_itself_is_set_for_nobody_else(monkeypatch):
    monkeypatch.setattr(postgresql, "_serves_pages", True)
    name = connections["jobs"].settings_dict["NAME"]
    with straight(name) as session:
        usual = settings_of(session)
    at_once(6, lambda _: Job.objects.count())
    with closing(psycopg.connect(f"{os.environ['TEST_POSTGRES_URL']}/{name}", autocommit=True)) as other:
        for _ in range(6):
            assert settings_of(other) == usual
    for shown in at_once(6, lambda _: settings_here()):
        assert shown == [*usual[:3], "UTC"]


def settings_here():
    connections["jobs"].ensure_connection()
    return settings_of(connections["jobs"].connection)


def test_a_transaction_that_writes_has_its_limits():
    def within():
        with write_transaction("jobs", 5):
            return settings_here()

    [idle, lock, *_] = in_thread(within)
    assert (idle, lock) == ("15s", "5s")


def test_many_actions_at_once_share_two_connections(carry_out, tms):
    results = at_once(12, lambda number: carry_out(cids=[f"c{number}"]))
    assert {result.outcome for result in results} == {Outcome.ACCEPTED}
    assert Job.objects.count() == len(tms.calls()) == 12
    with straight() as session:
        counts = session.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'test_%' GROUP BY datname"
        ).fetchall()
    assert max(counts) <= (2,)
    call_command("audit_verify")


def test_check_names_a_role_without_the_limits_that_nothing_else_can_give_it(capsys):
    check = {"databases": list(connections)}
    call_command("check", **check)
    said = capsys.readouterr().err
    assert said.count("(tmsdash.W011)") == 3
    statement = (
        "ALTER ROLE tms SET idle_in_transaction_session_timeout = '15s'; ALTER ROLE tms SET lock_timeout = '20s';"
    )
    assert statement in said
    with straight() as session:
        session.execute(statement)
        try:
            end_sessions(session)
            call_command("check", **check)
            assert "W011" not in capsys.readouterr().err
        finally:
            session.execute("ALTER ROLE tms RESET ALL")
            end_sessions(session)


def end_sessions(session):
    """End PgBouncer's sessions, so that it opens new ones; returns when they are gone."""
    others = "FROM pg_stat_activity WHERE datname LIKE 'test_%' AND pid <> pg_backend_pid()"
    session.execute(f"SELECT pg_terminate_backend(pid) {others}")
    until(lambda: session.execute(f"SELECT count(*) {others}").fetchone() == (0,))


def test_a_backup_through_it_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(CommandError, match=r"DATABASE_URL leads to a connection pooler.*address of PostgreSQL itself"):
        call_command("backup", str(tmp_path))


def test_the_next_statement_works_after_postgresql_has_ended_all_sessions():
    Job.objects.count()
    with straight() as session:
        end_sessions(session)
    assert Job.objects.count() == 0


def test_a_database_that_was_moved_is_refused_to_processes_that_know_it_from_before():
    """Their sessions are PgBouncer's, which may have had none of PostgreSQL when the move looked for users."""
    assert Job.objects.count() == 0
    connections.close_all()  # the pool keeps them
    with straight(connections["jobs"].settings_dict["NAME"]) as session:
        Mark("a move", Role.MOVED, "elsewhere", "2026-01-01").save(session, "%s")
        try:
            with pytest.raises(MovedError, match="It was moved to elsewhere"):
                Job.objects.count()
        finally:
            session.execute(f"DROP TABLE {TABLE}")
    assert Job.objects.count() == 0
