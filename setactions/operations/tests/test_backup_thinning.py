"""`backup` with BACKUP_KEEP: which backups go, which stay, and what it leaves alone."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from setactions.operations.backups import creation, thinning
from setactions.operations.backups.engine import BackupError, Contents, Entry
from setactions.operations.backups.manifest import Manifest
from setactions.operations.backups.thinning import Kept, superseded, thin
from setactions.operations.tests.backing_up import run

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEEP = {"daily": 7, "weekly": 5, "monthly": 12}


def of_days(count, each=1):
    """Backups of as many days, the last one at noon."""
    moments = [NOON - timedelta(days=day, hours=hour) for day in range(count) for hour in range(each)]
    return [Kept(moment, Path(f"{moment:%Y-%m-%d %H}"), is_sound=True) for moment in moments]


def stay(backups, keep=KEEP):
    gone = superseded(backups, keep)
    assert gone == sorted(gone)
    return [f"{backup.made_at:%Y-%m-%d %H}" for backup in sorted(set(backups) - set(gone), reverse=True)]


def test_of_days_weeks_and_months_the_last_backups_stay():
    days = [f"{NOON - timedelta(days=day):%Y-%m-%d} 12" for day in range(7)]
    weeks = ["2026-02-22 12", "2026-02-15 12", "2026-02-08 12", "2026-02-01 12"]  # Sundays; the fifth is among the days
    months = ["2026-01-31 12", *(f"2025-{month:02}-{last} 12" for month, last in ((12, 31), (11, 30), (10, 31)))]
    older = [f"2025-{month:02}-{last} 12" for month, last in ((9, 30), (8, 31), (7, 31), (6, 30), (5, 31), (4, 30))]
    assert stay(of_days(600, each=3)) == [*days, *weeks, *months, *older]


def test_thinned_every_day_the_same_stay_as_thinned_once():
    kept = []
    for backup in reversed(of_days(500)):
        kept = [old for old in [*kept, backup] if old not in superseded([*kept, backup], KEEP)]
    assert stay(kept) == stay(of_days(500))


@pytest.mark.parametrize("keep", [{"daily": 1}, {"monthly": 1}, {"weekly": 1, "daily": 1}])
def test_the_newest_one_always_stays(keep):
    [newest, *others] = of_days(40)
    assert stay([newest, *others], keep)[0] == stay([newest], keep)[0] == "2026-03-01 12"
    earlier = Kept(NOON - timedelta(hours=1), Path("earlier"), is_sound=True)
    broken = Kept(newest.made_at, newest.folder, is_sound=False)
    assert stay([broken, earlier, *others], keep)[:2] == ["2026-03-01 12", "2026-03-01 11"]


def test_one_that_does_not_fit_together_takes_no_sound_ones_place():
    sound, broken = Kept(NOON, Path("a"), is_sound=True), Kept(NOON + timedelta(hours=1), Path("b"), is_sound=False)
    newest = Kept(NOON + timedelta(days=1), Path("c"), is_sound=True)
    assert superseded([sound, broken, newest], {"daily": 2}) == [broken]


# -- In a folder --------------------------------------------------------------------------------------------------


def make(folder, days_ago, suffix=""):
    """A backup as the command makes it, of some days ago."""
    moment = NOON - timedelta(days=days_ago)
    path = folder / f"{moment.strftime(thinning.NAME_FORMAT)}{suffix}"
    path.mkdir()
    (path / "jobs.sqlite3").write_text("rows")
    entry = Entry("sqlite", "jobs.sqlite3", 4, "0" * 64, Contents({}, []))
    Manifest(moment.isoformat(timespec="seconds"), "1", {"jobs": entry}, []).save(path)
    return path


def test_only_what_backup_made_is_removed_whole(tmp_path):
    newest, doomed, twin = make(tmp_path, 0), make(tmp_path, 5), make(tmp_path, 5, suffix="-2")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    kept = {
        "incomplete": tmp_path / ".incomplete-abc",
        "before a restore": make(tmp_path, 6).rename(tmp_path / "2026-01-01T00-00-00.000000Z-before-restore"),
        "renamed": make(tmp_path, 7).rename(tmp_path / "2026-01-01T00-00-00Z"),
        "with something else in it": make(tmp_path, 8),
        "without a manifest": make(tmp_path, 9),
        "of a later version": make(tmp_path, 10),
        "with a link in it": make(tmp_path, 11),
        "a file": tmp_path / "2026-01-02T00-00-00Z",
    }
    kept["incomplete"].mkdir()
    (kept["with something else in it"] / "notes.txt").touch()
    (kept["without a manifest"] / "manifest.json").unlink()
    (kept["of a later version"] / "manifest.json").write_text('{"format": 2}')
    (kept["with a link in it"] / "jobs.sqlite3").unlink()
    (kept["with a link in it"] / "jobs.sqlite3").symlink_to(tmp_path / "victim")
    kept["a file"].touch()
    linked = make(elsewhere, 12)
    kept["a link"] = tmp_path / linked.name
    kept["a link"].symlink_to(linked)
    assert thin(tmp_path, {"daily": 1}) == [doomed.name, twin.name]
    assert set(tmp_path.iterdir()) == {newest, elsewhere, *kept.values()}
    assert (linked / "jobs.sqlite3").exists()


def test_one_that_was_being_removed_when_the_process_was_killed_is_no_backup_and_goes_next_time(tmp_path, monkeypatch):
    make(tmp_path, 0)
    doomed = make(tmp_path, 5)

    def killed(path):
        (path / "jobs.sqlite3").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            thin(tmp_path, {"daily": 1})
    assert not doomed.exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [f".removing-{doomed.name}"]
    assert thin(tmp_path, {"daily": 1}) == []
    assert len(list(tmp_path.iterdir())) == 1


def test_without_the_setting_nothing_goes(tmp_path):
    backups = {make(tmp_path, day) for day in range(5)}
    assert thin(tmp_path, {}) == []
    assert set(tmp_path.iterdir()) == backups


def test_the_command_thins_after_a_success_only_and_says_what_it_removed(databases, settings, tmp_path, monkeypatch):
    settings.BACKUP_KEEP = {"daily": 2}
    old = [make(tmp_path, day) for day in (3, 2, 1)]
    with monkeypatch.context() as patched:
        patched.setattr(creation, "disagreements", lambda *_: ["They do not fit together."])
        with pytest.raises(SystemExit):
            run(tmp_path)
    assert all(folder.exists() for folder in old)
    printed, said = run(tmp_path)
    assert said == ""
    assert f"Removed by BACKUP_KEEP: {old[0].name}, {old[1].name}" in printed
    assert old[2].exists()


def test_what_cannot_be_removed_is_told_and_the_new_backup_is_there(databases, settings, tmp_path, monkeypatch):
    settings.BACKUP_KEEP = {"daily": 1}

    def fail(*_):
        raise BackupError("Older backups could not be removed: Permission denied.")

    monkeypatch.setattr("setactions.management.commands.backup.thin", fail)
    printed, said = run(tmp_path)
    assert "complete and verified" in printed
    assert "Permission denied" in said
