"""From SQLite to PostgreSQL and back: nothing is lost, doubled or altered, wherever the move is killed."""

import os
import sqlite3
import subprocess
from contextlib import closing

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import OperationalError

from audit.proof.verification import verify
from setactions.operations.backups import postgresql
from setactions.operations.backups.creation import database_of
from setactions.operations.backups.engine import BackupError
from setactions.operations.moves import source as sources
from setactions.operations.moves import target as targets
from setactions.operations.moves.places import MoveError
from setactions.operations.moves.sessions import LIMITS, session_with
from setactions.operations.moves.survey import surveyed
from setactions.operations.moves.tests.installations import (
    contents,
    files_in,
    moved,
    moving,
    named,
    pages,
    serving,
    signed_in,
)
from setactions.operations.tests.postgresql_sites import three_databases
from tmsdash.tests.killing import dying_at

pytestmark = pytest.mark.postgresql

POINTS = (
    "move: sources marked, targets not",
    "move: target marked, no tables",
    "move: rows copied, not committed",
    *["move: rows committed"] * 3,
    "move: all proven, sources not marked as moved",
    *["move: a source marked as moved"] * 2,
    *["move: a target can be used"] * 2,
)


@pytest.fixture
def there():
    """Three places on the PostgreSQL server of the tests."""
    with three_databases("move") as urls:
        yield named(urls)


def test_there_and_back_with_deaths_at_every_point_all_is_as_it_was(site, there, tmp_path, monkeypatch):
    monkeypatch.setattr(targets, "ROWS_AT_ONCE", 100)
    here, back = files_in(site), files_in(tmp_path / "back")
    cookies = signed_in(here)
    shown = pages(here, cookies)
    for olds, news in ((here, there), (there, back)):
        held = contents(olds)
        for point in POINTS:  # the process dies at each, and is started again
            with dying_at(point) as deaths:
                moved(olds, news)
            assert deaths == [point]
        moved(olds, news)
        assert contents(news) == held
        assert pages(news, cookies) == shown
        with serving(news):
            assert verify().is_whole


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("customer_count = 'many'", "Table jobs_job, behind the key None: a row cannot be moved as it is.*many"),
        ("created_at = replace(created_at, ' ', 'T')", "Table jobs_job has .* reading them back gave .* other values"),
    ],
)
def test_a_row_that_postgresql_cannot_hold_as_it_is_keeps_all_where_it_is(site, there, change, sentence):
    with closing(sqlite3.connect(site / "jobs.db", isolation_level=None)) as session:
        session.execute(f"UPDATE jobs_job SET {change} WHERE id = 7")
    with pytest.raises(MoveError, match=sentence):
        moved(files_in(site)[1:2], there[1:2])


def test_a_database_is_not_moved_while_somebody_is_connected_who_might_go_on_with_it(
    site, there, tmp_path, monkeypatch
):
    monkeypatch.setattr(postgresql, "SESSION_END_TRIES", 2)
    moved(files_in(site)[1:2], there[1:2])
    old, new = there[1], files_in(tmp_path / "back")[1]
    address = {name: old.described[name.upper()] for name in ("user", "host", "port")} | {"dbname": "move_jobs"}
    with psycopg.connect(**address), pytest.raises(BackupError, match="1 other sessions use the database move_jobs"):
        moved([old], [new])
    with moving():
        [plan] = surveyed([old], [new])
        with sources.held(plan.database, plan.mark) as session, psycopg.connect(**address):
            with pytest.raises(BackupError, match="1 other sessions"):  # it has connected while rows were copied
                sources.end(session, plan.mark)


@pytest.mark.pgbouncer
def test_nothing_is_moved_through_a_pooler(site, there):
    olds = files_in(site)
    with pytest.raises(BackupError, match="DATABASE_URL leads to a connection pooler"):
        moved(olds, there)
    with serving(olds):
        assert User.objects.exists()


def test_no_limit_of_the_server_ends_a_move_that_takes_long(there):
    with moving(), serving(there):
        database = database_of("jobs")
        with database.present() as admin:
            for limit in LIMITS[:3]:
                admin.session.execute(f"ALTER DATABASE move_jobs SET {limit} = '1s'")
        with closing(session_with(database)) as session:
            assert [session.ask(f"SHOW {limit}") for limit in LIMITS[:3]] == [[("0",)]] * 3


def test_a_move_goes_on_after_postgresql_was_away(site, there, monkeypatch, tmp_path):
    monkeypatch.setattr(targets, "ROWS_AT_ONCE", 100)
    here, back = files_in(site), files_in(tmp_path / "back")
    held, control = contents(here), os.environ["TEST_POSTGRES_CONTROL"]
    for olds, news in ((here, there), (there, back)):
        parts = iter(range(8))

        def stop_in_the_middle(name, parts=parts):
            if name == "move: rows copied, not committed" and next(parts, None) == 7:
                subprocess.run([control, "stop", "-m", "immediate"], check=True)

        with monkeypatch.context() as patch:
            patch.setattr(targets, "kill_point", stop_in_the_middle)
            patch.setattr(sources, "end", pytest.fail)
            try:
                with pytest.raises(OperationalError):
                    moved(olds, news)
            finally:
                subprocess.run([control, "start"], check=True)
        moved(olds, news)
        assert contents(news) == held
