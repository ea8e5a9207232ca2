"""The one moment of three databases that a backup shows, while the site goes on writing."""

import os
import subprocess

import pytest

from audit import groups
from audit.tests.making import make_attempt
from jobs.models import Job
from setactions.operations.backups import postgresql, sqlite
from setactions.operations.backups.creation import back_up
from setactions.operations.tests.backing_up import rows_of
from setactions.resolving.tests.doubting import send, send_and_die
from tmsdash.tests.tools import Gate, in_thread, other_process, threads, until

pytestmark = pytest.mark.usefixtures("databases", "tms")
LOCKS_OF_BACKUP = """
SELECT relation::regclass::text, granted FROM pg_locks WHERE mode = 'ShareLock' AND locktype = 'relation'
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


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


@pytest.mark.postgresql
def test_while_it_waits_for_a_writer_of_the_audit_it_holds_no_table_that_the_writer_goes_on_to(monkeypatch, tmp_path):
    """Or each would wait for the other."""
    gate, carry_out = Gate(), groups._carry_out

    def pause_and_carry_out(*args, **options):
        gate.enter()
        carry_out(*args, **options)

    def locks():
        return other.execute(LOCKS_OF_BACKUP).fetchall()

    monkeypatch.setattr(groups, "_carry_out", pause_and_carry_out)
    with threads(2) as submit, other_process("audit") as other:
        writer = submit(make_attempt)
        gate.await_entry()  # its transaction has begun
        backup = submit(back_up, tmp_path)
        asked_for = []
        until(lambda: asked_for.extend(locks()) or asked_for)
        gate.open()
    assert asked_for == [("audit_auditentry", False)]
    assert writer.result().is_open
    assert backup.result().manifest.databases["audit"].contents.rows["audit_attempt"] == 1
