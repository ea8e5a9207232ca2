"""The old dashboard's files as SQLite leaves them: with companions or without, in use or not, and never changed."""

import shutil
import sqlite3
from contextlib import closing

import pytest
from django.core.management import CommandError

from jobs.models import Job
from setactions.operations.legacy import copies
from setactions.operations.legacy.tests.old_code import CUSTOMERS, JOBS
from setactions.operations.legacy.tests.old_dashboard import OldDashboard

pytestmark = [pytest.mark.usefixtures("databases", "tms"), pytest.mark.pages]


def contents(folder):
    """Everything that can be seen of a folder's files, and when the folder itself was changed."""
    files = {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()}
    return files, folder.stat().st_mtime_ns


@pytest.fixture
def in_use(old, tmp_path):
    """The old dashboard while it runs: the newest job is in the -wal only, and half a job is not committed yet."""
    with closing(sqlite3.connect(old.jobs)) as jobs, closing(sqlite3.connect(old.jobs)) as keeper:
        jobs.execute("PRAGMA journal_mode=WAL")
        old.job("a1")
        keeper.execute("SELECT * FROM jobs").fetchall()
        jobs.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        old.job("a2")
        jobs.execute("BEGIN")
        jobs.execute("INSERT INTO job_customers (job_id, cid) VALUES ('half', 'a3')")
        yield old


def copy_to(old, folder, *suffixes):
    """Copy the file of jobs as an operator does, with companions; the audit log's stays where it is."""
    folder.mkdir()
    for suffix in ("", *suffixes):
        shutil.copy2(f"{old.jobs}{suffix}", folder / f"jobs.db{suffix}")
    old.jobs = folder / "jobs.db"
    return folder


def imported():
    return sorted(cid for job in Job.objects.all() for cid in job.customers.values_list("cid", flat=True))


def test_rows_in_the_wal_are_imported_and_nothing_beside_the_files_changes(in_use, tmp_path):
    folder = copy_to(in_use, tmp_path / "copied", "-wal")
    folder.chmod(0o555)
    before = contents(folder)
    assert in_use.run()[1] == []
    assert contents(folder) == before
    assert imported() == ["a1", "a2"]


def test_a_dashboard_that_still_runs_is_neither_changed_nor_stopped(in_use, tmp_path):
    before = contents(tmp_path)
    assert in_use.run()[1] == []
    assert contents(tmp_path) == before
    assert imported() == ["a1", "a2"]


def test_a_wal_that_is_missing_is_said(in_use, tmp_path):
    folder = copy_to(in_use, tmp_path / "copied")
    _, [warning] = in_use.run("--dry-run")
    assert warning.startswith(f"{folder}/jobs.db was written with a jobs.db-wal beside it, which is missing.")
    assert "newest rows are missing" in warning
    assert [file.name for file in folder.iterdir()] == ["jobs.db"]


def test_a_wal_that_is_missing_with_all_tables_is_said_and_not_that_the_file_is_foreign(tmp_path):
    """As after a crash of the old dashboard before its first checkpoint, if only jobs.db was copied."""
    old = OldDashboard(tmp_path)
    made = tmp_path / "made.db"
    with closing(sqlite3.connect(made)) as jobs:
        jobs.execute("PRAGMA journal_mode=WAL")
        jobs.executescript(f"{JOBS.format('')};{CUSTOMERS}")
        shutil.copy2(made, old.jobs)
    with pytest.raises(
        CommandError, match=r"jobs\.db was written with a jobs\.db-wal beside it, which is missing"
    ) as error:
        old.run()
    assert "which is missing. Stop the old dashboard, and copy both files: here jobs lacks " in str(error.value)
    assert "not a file of the old dashboard" not in str(error.value)


def test_a_wal_that_is_missing_is_said_of_a_file_that_cannot_be_read_without_it(in_use, tmp_path):
    copy_to(in_use, tmp_path / "copied")
    with in_use.jobs.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 4)
    with pytest.raises(CommandError, match=r"jobs\.db cannot be read: .* beside it, which is missing\.$"):
        in_use.run()


def test_half_a_transaction_is_undone_in_the_copy_only(old, tmp_path):
    cids = [f"c{number:0100}" for number in range(500)]
    job_id = old.job()
    with closing(sqlite3.connect(old.jobs, isolation_level=None)) as database:
        database.execute("BEGIN")
        rows = [(job_id, cid) for cid in cids]
        database.executemany("INSERT INTO job_customers (job_id, cid) VALUES (?, ?)", rows)
        database.execute("COMMIT")
        database.execute("PRAGMA cache_size = 1")  # so that the half is in the file
        database.execute("BEGIN")
        database.execute("UPDATE job_customers SET cid = 'half ' || id")
        folder = copy_to(old, tmp_path / "copied", "-journal")
        before = contents(folder)
        assert b"half" in old.jobs.read_bytes()
        assert old.run()[1] == []
        assert contents(folder) == before
    assert imported() == cids


def test_a_file_that_is_written_to_meanwhile_is_copied_again(old, monkeypatch):
    old.job("a1")
    copyfile, copied = shutil.copyfile, []

    def write_after(source, target):
        copyfile(source, target)
        if len(copied) < writes:
            copied.append(source)
            old.job(f"b{len(copied)}")

    monkeypatch.setattr(copies.shutil, "copyfile", write_after)
    writes = copies.TRIES - 1
    old.run()
    assert len(imported()) == 1 + writes
    writes = 1000
    with pytest.raises(CommandError, match="jobs.db is being written to all the time. Stop the old dashboard"):
        old.run()


def test_a_link_to_a_file_brings_the_companions_of_the_file(in_use, tmp_path):
    folder = tmp_path / "links"
    folder.mkdir()
    (folder / "old.db").symlink_to(in_use.jobs)
    in_use.jobs = folder / "old.db"
    in_use.run()
    assert imported() == ["a1", "a2"]


def test_a_folder_without_room_is_named(old, monkeypatch):
    def fail(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(copies.shutil, "copyfile", fail)
    with pytest.raises(CommandError, match=r"jobs.db cannot be copied to .*: No space left on device.*TMPDIR"):
        old.run()


def test_a_damaged_file_is_named_and_not_the_other_one(old):
    job_id = old.job("a1")
    with closing(sqlite3.connect(old.jobs)) as database, database:
        rows = [(job_id, f"c{number:0100}") for number in range(2000)]
        database.executemany("INSERT INTO job_customers (job_id, cid) VALUES (?, ?)", rows)
    with old.jobs.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(b"\xff" * 4096 * 4)
    with pytest.raises(CommandError, match=r"jobs.db cannot be read: .*malformed"):
        old.run()
    assert not Job.objects.exists()
