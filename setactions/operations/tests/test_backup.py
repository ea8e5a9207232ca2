"""`manage.py backup`: one moment of three databases, copied while the site works."""

import hashlib
import json
import os
import re
import sqlite3
import stat
import subprocess
from contextlib import ExitStack, closing
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from audit.models import Attempt
from audit.tests.making import make_attempt
from jobs.models import Job
from jobs.tests.making import make_job
from setactions.management.commands.backup import Command
from setactions.operations.backups import creation, postgresql, sqlite
from setactions.operations.backups.consistency import lacking
from setactions.operations.backups.creation import back_up
from setactions.operations.backups.engine import BackupError
from setactions.resolving.tests.doubting import send, send_and_die
from tmsdash.tests.tools import KEYS, in_thread, locked, run_python

pytestmark = pytest.mark.usefixtures("databases", "tms")


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(creation, "LOCK_WAIT_S", 0.05)
    monkeypatch.setattr(creation, "LOCK_PAUSE_S", 0)


def run(folder):
    """Run the command in this process; returns what it printed, and what it said besides."""
    printed, said = StringIO(), StringIO()
    call_command("backup", str(folder), stdout=printed, stderr=said)
    return printed.getvalue(), said.getvalue()


def rows_of(file, sql):
    with closing(sqlite3.connect(file)) as copy:
        return copy.execute(sql).fetchall()


def nothing_in(folder):
    return not folder.exists() or not list(folder.iterdir())


# -- What a backup is ---------------------------------------------------------------------------------------------


def test_it_is_a_folder_of_its_own_that_only_its_owner_can_read(fetch, tmp_path):
    send(fetch)
    printed, said = run(tmp_path / "new" / "backups")
    [folder] = (tmp_path / "new" / "backups").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ", folder.name)
    assert f"complete and verified: {folder}" in printed
    assert said == ""
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = list(folder.iterdir())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert {file.stem for file in files} == {"default", "jobs", "audit", "manifest"}


def test_the_manifest_tells_what_is_in_it(fetch, olivia, tmp_path):
    send(fetch)
    folder = back_up(tmp_path).folder
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["version"] == "0.1.0"
    assert manifest["made_at"].endswith("+00:00")
    assert manifest["disagreements"] == []
    assert set(manifest["databases"]) == {"default", "jobs", "audit"}
    for alias, entry in manifest["databases"].items():
        content = (folder / entry["file"]).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert entry["engine"] == connections[alias].vendor
    rows = {alias: entry["contents"]["rows"] for alias, entry in manifest["databases"].items()}
    assert (rows["default"]["auth_user"], rows["jobs"]["jobs_job"], rows["jobs"]["jobs_jobcustomer"]) == (1, 1, 2)
    assert (rows["audit"]["audit_attempt"], rows["audit"]["audit_auditentry"]) == (1, 3)
    assert ["jobs", "0001_initial"] in manifest["databases"]["jobs"]["contents"]["migrations"]


def test_two_backups_in_one_second_are_two_folders_and_older_ones_stay(fetch, tmp_path):
    folders = [back_up(tmp_path).folder for _ in range(3)]
    assert len({*folders}) == 3
    assert sorted(folders) == sorted(tmp_path.iterdir())


def test_the_keys_are_not_in_it_and_it_says_so(fetch, settings, tmp_path):
    send(fetch)
    printed, _ = run(tmp_path)
    assert "secret_key, token_key" in printed
    assert "Keep them" in printed
    content = b"".join(file.read_bytes() for folder in tmp_path.iterdir() for file in folder.iterdir())
    assert settings.SECRET_KEY.encode() not in content
    assert settings.TOKEN_KEY.encode() not in content


@pytest.mark.sqlite
def test_a_sqlite_copy_is_one_sound_file_with_all_rows(fetch, tmp_path):
    send(fetch)
    folder = back_up(tmp_path).folder
    assert rows_of(folder / "jobs.sqlite3", "PRAGMA journal_mode") == [("delete",)]
    assert rows_of(folder / "jobs.sqlite3", "PRAGMA integrity_check") == [("ok",)]
    assert rows_of(folder / "jobs.sqlite3", "SELECT cid FROM jobs_jobcustomer ORDER BY position") == [("a1",), ("b2",)]
    assert len(list(folder.iterdir())) == 4


# -- One moment, and writers that go on ---------------------------------------------------------------------------


@pytest.mark.sqlite
def test_what_is_written_while_it_copies_is_written_at_once_and_not_in_the_copy(fetch, monkeypatch, tmp_path):
    """Several times between the steps of each copy: no lock is held then, and the copy is the snapshot."""
    monkeypatch.setattr(sqlite, "PAGES_PER_STEP", 1)
    before = send(fetch)
    sent = []

    def write():
        if len(sent) < 20:
            sent.append(in_thread(send, fetch, f"c{len(sent)}"))

    folder = back_up(tmp_path, write).folder
    assert len(sent) == 20
    assert {attempt.outcome for attempt in sent} == {"accepted"}
    assert Job.objects.count() == 21
    assert rows_of(folder / "jobs.sqlite3", "SELECT job_id FROM jobs_job") == [(before.attempt_id.hex,)]
    assert rows_of(folder / "audit.sqlite3", "SELECT attempt_id FROM audit_attempt") == [(before.attempt_id.hex,)]


@pytest.mark.postgresql
def test_what_is_written_while_it_dumps_is_written_at_once_and_not_in_the_dump(fetch, monkeypatch, tmp_path):
    before = send(fetch)
    (tmp_path / "bin").mkdir()
    slow = tmp_path / "bin" / "pg_dump"
    real = postgresql._program("pg_dump")
    go_on = tmp_path / "go on"
    slow.write_text(f'#!/bin/sh\nuntil [ -e "{go_on}" ]; do sleep 0.01; done\nexec {real} "$@"\n')
    slow.chmod(0o700)
    monkeypatch.setenv("PATH", str(slow.parent), prepend=os.pathsep)
    sent = []

    def write():
        if not sent:
            sent.append(in_thread(send, fetch, "c"))
            go_on.touch()

    backup = back_up(tmp_path / "backups", write)
    assert [attempt.outcome for attempt in sent] == ["accepted"]
    assert backup.manifest.databases["jobs"].contents.rows["jobs_job"] == 1
    read = subprocess.run(
        [postgresql._program("pg_restore"), "--file=-", backup.folder / "jobs.dump"], capture_output=True, check=True
    )
    assert str(before.attempt_id).encode() in read.stdout
    assert str(sent[0].attempt_id).encode() not in read.stdout


def test_the_three_databases_are_held_only_together(fetch, monkeypatch, tmp_path):
    """All snapshots are taken while all locks are held, and all locks are free when the first copy begins."""
    order = []

    def note(name, function):
        def noted(self, *args):
            order.append(name)
            return function(self, *args)

        return noted

    for database, snapshot in (
        (sqlite.SqliteDatabase, sqlite.SqliteSnapshot),
        (postgresql.PostgresqlDatabase, postgresql.PostgresqlSnapshot),
    ):
        monkeypatch.setattr(database, "writes_held", note("hold", database.writes_held))
        monkeypatch.setattr(snapshot, "begin", note("begin", snapshot.begin))
        monkeypatch.setattr(snapshot, "copy_to", note("copy", snapshot.copy_to))
    back_up(tmp_path)
    assert order == ["hold"] * 3 + ["begin"] * 3 + ["copy"] * 3


def test_an_accepted_attempt_whose_job_is_owed_is_copied_as_it_is(fetch, tmp_path):
    send_and_die(fetch, "service: answer in the audit")
    assert back_up(tmp_path).manifest.disagreements == []


# -- Jobs and audit that do not fit together ----------------------------------------------------------------------


def test_what_does_not_fit_together_in_the_databases_is_told_and_the_backup_is_kept(fetch, tmp_path):
    lost = send(fetch)
    Job.objects.all().delete()
    stray = make_job()
    printed, said = StringIO(), StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("backup", str(tmp_path), stdout=printed, stderr=said)
    assert ended.value.code == 2
    assert f"1 attempts are recorded in the audit, but have no Job: {lost.attempt_id}." in said.getvalue()
    assert f"1 Jobs are unknown to the audit: {stray.job_id}." in said.getvalue()
    assert "reconcile --full" in said.getvalue()
    assert "complete and verified" in printed.getvalue()
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("these", "those", "expected"),
    [("", "", ""), ("abc", "abc", ""), ("abc", "", "abc"), ("bd", "abcde", ""), ("abcz", "bd", "acz"), ("", "ab", "")],
)
def test_what_is_lacking_is_found_in_one_pass(these, those, expected):
    assert list(lacking(these, those)) == list(expected)


# -- What stops it ------------------------------------------------------------------------------------------------


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
    assert ended.stderr.strip().endswith("Run manage.py migrate_all first.")
    assert "Traceback" not in ended.stderr
    assert not list((tmp_path / "var").glob("*.db"))
    assert nothing_in(tmp_path / "backups")


@pytest.mark.postgresql
def test_a_pg_dump_that_is_not_installed_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(postgresql, "DEBIAN", tmp_path)
    with pytest.raises(BackupError, match="pg_dump is not installed. Install PostgreSQL's client programs"):
        back_up(tmp_path / "backups")


@pytest.mark.postgresql
def test_a_password_is_on_no_command_line(fetch, monkeypatch, tmp_path):
    seen = []

    class Popen(subprocess.Popen):
        def __init__(self, command, **options):
            seen.append((command, options["env"]))
            super().__init__(command, **options)

    monkeypatch.setitem(connections["jobs"].settings_dict, "PASSWORD", "planted-password")
    monkeypatch.setattr(postgresql.subprocess, "Popen", Popen)
    for name in ("TMS_TOKEN", "SECRET_KEY", "TOKEN_KEY", "AUDIT_KEY", "AUDIT_DATABASE_URL", "TMS_PROXY"):
        monkeypatch.setenv(name, "planted-secret")  # none of a program's business
    back_up(tmp_path)
    assert "planted" not in repr([command for command, _ in seen])
    assert "planted-secret" not in repr(seen)
    assert [env["PGPASSWORD"] for command, env in seen if "PGPASSWORD" in env] == ["planted-password"]


def test_a_wrong_option_ends_with_1(capsys):
    with pytest.raises(SystemExit) as ended:
        Command().run_from_argv(["manage.py", "backup"])
    assert ended.value.code == 1


def test_an_attempt_that_nobody_answered_is_no_disagreement(tmp_path):
    make_attempt()
    assert Attempt.objects.get().is_open
    assert back_up(tmp_path).manifest.disagreements == []
