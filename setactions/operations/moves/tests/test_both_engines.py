"""From SQLite to PostgreSQL and back: nothing is lost, doubled or altered, wherever the move is killed."""

import pytest

from audit.proof.verification import verify
from setactions.operations.moves import target
from setactions.operations.moves.tests.installations import (
    contents,
    files_in,
    moved,
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
    *["move: rows committed"] * 5,
    "move: all proven, sources not marked as moved",
    *["move: a source marked as moved"] * 3,
)


def move_with_deaths(sources, targets):
    """Move an installation in a process that dies at one point after the other, and is started again each time."""
    for point in POINTS:
        with dying_at(point) as deaths:
            moved(sources, targets)
        assert deaths == [point]
    return moved(sources, targets)


def test_there_and_back_with_deaths_at_every_point_all_is_as_it_was(site, tmp_path, monkeypatch):
    monkeypatch.setattr(target, "ROWS_AT_ONCE", 100)
    here, back = files_in(site), files_in(tmp_path / "back")
    cookies = signed_in(here)
    shown, held = pages(here, cookies), contents(here)
    with three_databases("move") as urls:
        there = named(urls)
        for sources, targets in ((here, there), (there, back)):
            move_with_deaths(sources, targets)
            assert contents(targets) == held
            assert pages(targets, cookies) == shown
            with serving(targets):
                assert verify().is_whole
