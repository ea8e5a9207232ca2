"""From SQLite to PostgreSQL and back: nothing is lost, doubled or altered, wherever the move is killed."""

import sqlite3
from contextlib import closing

import psycopg
import pytest

from audit.proof.verification import verify
from setactions.operations.backups import postgresql
from setactions.operations.backups.engine import BackupError
from setactions.operations.moves import source as sources
from setactions.operations.moves import target as targets
from setactions.operations.moves.places import MoveError
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
