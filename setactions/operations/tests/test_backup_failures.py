"""`manage.py backup` that cannot be made: it ends with a sentence, and nothing is kept."""

import sqlite3
import subprocess
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from django.core.management import CommandError
from django.db import connections

from jobs.tests.making import make_job
from setactions.management.commands.backup import Command
from setactions.operations.backups import creation, postgresql
from setactions.operations.backups.creation import back_up
from setactions.operations.backups.engine import BackupError
from setactions.operations.tests.backing_up import nothing_in, run
from setactions.resolving.tests.doubting import send
from tmsdash.tests.tools import KEYS, in_thread, locked, run_python

pytestmark = pytest.mark.usefixtures("databases", "tms")


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(creation, "LOCK_WAIT_S", 0.05)
    monkeypatch.setattr(creation, "LOCK_PAUSE_S", 0)


@pytest.mark.parametrize("alias", ["default", "jobs", "audit"])
def test_a_database_that_stays_locked_ends_it_with_a_sentence_and_nothing_is_kept(fetch, impatient, tmp_path, alias):
    table = {"default": "auth_user", "jobs": "jobs_job", "audit": "audit_attempt"}[alias]
    with locked(alias, table), pytest.raises(CommandError, match="(?s)cannot be copied: .*Nothing was kept") as failed:
        run(tmp_path / "backups")
    assert failed.value.returncode == 1
    assert nothing_in(tmp_path / "backups")
    assert in_thread(send, fetch).outcome == "accepted"  # no lock is left


def test_a_lock_that_ends_is_waited_for(fetch, impatient, monkeypatch, tmp_path):
    with ExitStack() as stack:
        stack.enter_context(locked("audit", "audit_attempt"))
        monkeypatch.setattr(creation, "time", type("Time", (), {"sleep": lambda seconds: stack.close()}))
        back_up(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_disk_without_room_ends_it_with_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(creation, "SPARE_BYTES", 1 << 60)
    with pytest.raises(BackupError, match="not enough room in .*MiB are free"):
        back_up(tmp_path / "backups")
    assert nothing_in(tmp_path / "backups")


@pytest.mark.root
def test_a_disk_that_fills_up_while_it_copies_ends_it_with_a_sentence(fetch, monkeypatch, tmp_path):
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(tmp_path)], check=True)
    try:
        monkeypatch.setattr(creation, "_assert_room", lambda *args: None)
        with pytest.raises(BackupError, match="full|No space left|disk I/O error"):
            back_up(tmp_path)
        assert nothing_in(tmp_path)
    finally:
        subprocess.run(["/bin/umount", str(tmp_path)], check=True)


def test_a_folder_that_cannot_be_made_ends_it_with_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match="file.* cannot be written: .*Nothing was kept"):
        run(tmp_path / "file")


@pytest.mark.sqlite
def test_a_damaged_database_gives_no_backup(fetch, tmp_path):
    make_job(cids=[f"c{number}" for number in range(4000)])
    connections["jobs"].close()
    file = Path(connections["jobs"].settings_dict["NAME"])
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [page] = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'jobs_jobcustomer'").fetchone()
        [size] = database.execute("PRAGMA page_size").fetchone()
    whole = file.read_bytes()
    try:
        file.write_bytes(whole[: (page - 1) * size] + b"\xff" * size + whole[page * size :])
        with pytest.raises(BackupError):
            back_up(tmp_path)
        assert nothing_in(tmp_path)
    finally:
        file.write_bytes(whole)


@pytest.mark.sqlite
def test_a_database_that_is_not_there_is_not_made(tmp_path):
    ended = run_python("manage.py", "backup", str(tmp_path / "backups"), var_dir=tmp_path / "var", **KEYS)
    assert ended.returncode == 1
    assert "app.db is not there. If this is a new installation, run manage.py migrate_all" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list((tmp_path / "var").glob("*.db"))
    assert nothing_in(tmp_path / "backups")


@pytest.mark.postgresql
def test_a_pg_dump_that_is_not_installed_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(postgresql, "DEBIAN", tmp_path)
    with pytest.raises(BackupError, match="pg_dump is not installed. Install PostgreSQL's client programs"):
        back_up(tmp_path / "backups")


def test_a_wrong_option_ends_with_1(capsys):
    with pytest.raises(SystemExit) as ended:
        Command().run_from_argv(["manage.py", "backup"])
    assert ended.value.code == 1
