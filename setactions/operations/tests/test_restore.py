"""`manage.py restore`: a backup in the place of the databases, or the databases as they were."""

import json
import sqlite3
import threading
import uuid
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connections

from audit.models import Attempt, AuditEntry
from audit.proof.verification import verify
from jobs.batches import ledger
from jobs.models import Job
from jobs.tests.making import make_batch
from setactions.operations.backups import postgresql, restoration
from setactions.operations.backups.creation import back_up
from setactions.operations.backups.engine import BackupError
from setactions.operations.backups.restoration import UNCHANGED, restore, verified
from setactions.operations.tests.restores import everything, fail, nothing_changes, run
from setactions.proof.database_check import database_problems
from setactions.resolving.tests.doubting import in_words, send
from setactions.resolving.tests.doubting import run as run_reconcile
from tmsdash.commands import os_actor_name
from tmsdash.tests.fixtures import PASSWORD, signed_in
from tmsdash.tests.tools import at_once

pytestmark = pytest.mark.usefixtures("databases", "tms", "nobody_connected")


# -- What it does -------------------------------------------------------------------------------------------------


def test_accounts_jobs_and_audit_are_what_they_were(backup):
    made, made_of = backup
    assert everything() != made_of
    printed = run(made.folder, "--yes")
    assert everything() == made_of | {"tmsdash.Session": []}
    assert User.objects.get(username="olivia").check_password(PASSWORD)
    assert f"as they were at {made.manifest.made_at}" in printed
    assert "reconcile --full --ask-token" in printed
    assert printed.count("what was there before: ") == 3


def test_sessions_that_were_ended_since_stay_ended(olivia, tmp_path):
    client = signed_in(olivia)
    assert client.get("/jobs/").status_code == 200
    made = back_up(tmp_path)
    run(made.folder, "--yes")
    assert client.get("/jobs/").status_code == 302


def test_no_batch_goes_on_unawares(tmp_path):
    batch = make_batch()
    assert ledger.lease(batch, "somebody", 3600)
    made = back_up(tmp_path / "backups")
    run(made.folder, "--yes")
    batch.refresh_from_db()
    assert (batch.state, batch.runner) == ("stopped", "")
    assert f"The databases were restored to {made.manifest.made_at}" in batch.reason


def test_the_restored_audit_is_whole_although_there_are_later_seals(backup, settings, tmp_path):
    settings.AUDIT_SEAL_DIR = tmp_path / "seals"
    call_command("audit_seal", stdout=StringIO())
    run(backup[0].folder, "--yes")
    found = verify()
    assert (found.findings, found.seals, found.superseded) == ([], 1, 1)


def test_the_restored_audit_tells_of_the_restore(backup):
    run(backup[0].folder, "--yes")
    entry = AuditEntry.objects.get(kind="SETTING_CHANGED")
    assert (entry.attempt_id, entry.user_id) == (None, os_actor_name())
    body = json.loads(entry.body)
    assert (body["what"], body["change"], body["name"]) == ("databases", "restored", backup[0].folder.name)
    assert body["sha256"]["jobs"] == backup[0].manifest.databases["jobs"].sha256


def test_an_audit_that_cannot_be_told_of_the_restore_leaves_all_as_they_were(backup, monkeypatch):
    monkeypatch.setattr(restoration, "record_fact", fail)
    with nothing_changes(), pytest.raises(BackupError, match=UNCHANGED):
        restore(verified(backup[0].folder), pytest.fail)


def test_the_site_goes_on_with_what_was_restored(backup, fetch):
    run(backup[0].folder, "--yes")
    assert send(fetch, "d4").outcome == "accepted"
    assert Job.objects.count() == Attempt.objects.count() == 2


@pytest.mark.sqlite
def test_what_was_there_before_is_kept_with_what_its_wal_held(backup):
    before = everything()
    kept = restore(verified(backup[0].folder), pytest.fail)
    for alias, model in (("jobs", Job), ("audit", Attempt), ("default", User)):
        file = Path(kept[alias].place)
        assert file.name.startswith(f"test_{alias}.db.before-restore-2")
        assert not list(file.parent.glob(f"{file.name}-*"))
        with closing(sqlite3.connect(file)) as database:
            [count] = database.execute(f"SELECT count(*) FROM {model._meta.db_table}").fetchone()
        assert count == len(before[model._meta.label])


def test_what_was_restored_has_the_tables_and_indexes_that_the_migrations_make(backup):
    run(backup[0].folder, "--yes")
    assert database_problems(full=True) == []


@pytest.mark.postgresql
def test_what_was_there_before_is_a_backup_that_can_be_restored(backup):
    before = everything()
    kept = restore(verified(backup[0].folder), pytest.fail)
    [folder] = {Path(one.place).parent for one in kept.values()}
    assert folder.parent == backup[0].folder.parent
    run(folder, "--yes")
    assert everything() == before | {"tmsdash.Session": []}


@pytest.mark.sqlite
def test_databases_that_are_damaged_or_gone_are_no_hindrance(backup):
    made, made_of = backup
    connections.close_all()
    files = {alias: Path(connections[alias].settings_dict["NAME"]) for alias in connections}
    files["jobs"].write_bytes(b"no database at all" * 1000)
    files["audit"].unlink()
    kept = restore(verified(made.folder), pytest.fail)
    assert everything() == made_of | {"tmsdash.Session": []}
    assert Path(kept["jobs"].place).read_bytes().startswith(b"no database at all")
    assert kept["audit"].place == "there was none"


@pytest.mark.postgresql
def test_databases_without_tables_are_no_hindrance(backup):
    made, made_of = backup
    for connection in connections.all():
        with connection.cursor() as cursor:
            cursor.execute(postgresql.DROP_ALL)
    run(made.folder, "--yes")
    assert everything() == made_of | {"tmsdash.Session": []}


def test_tables_and_rows_that_came_after_the_backup_are_gone(backup):
    with connections["jobs"].cursor() as cursor:
        cursor.execute("CREATE TABLE jobs_new (id integer)")
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('jobs', '0099_new', '2026-01-01')")
    run(backup[0].folder, "--yes")
    assert "jobs_new" not in connections["jobs"].introspection.table_names()
    with connections["jobs"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM django_migrations WHERE name = '0099_new'")
        assert cursor.fetchone() == (0,)


# -- Under load ---------------------------------------------------------------------------------------------------


def test_what_is_copied_under_load_has_one_job_for_each_accepted_attempt(fetch, tms, tmp_path):
    """Eight threads perform Set Actions while backups are made one after another; then each of them is restored."""
    backups, over = [], threading.Event()

    def work(number):
        if number == 0:
            try:
                while len(backups) < 4:
                    tms.wait_for(lambda calls: len(calls) > 10 + 10 * len(backups))
                    backups.append(back_up(tmp_path / "backups"))
            finally:
                over.set()
            return []
        sent = []
        while not over.is_set():
            answer = fetch(cids=[f"c{number}-{len(sent)}", "shared"], sendAgain=True).json()
            sent.append((answer["attempt_id"], answer["outcome"]))
        return sent

    sent = [one for part in at_once(8, work) for one in part]
    assert {outcome for _, outcome in sent} == {"accepted"}
    assert Job.objects.count() == len(sent) == len(tms.calls())
    found = []
    for backup in backups:
        assert backup.manifest.disagreements == []
        restore(verified(backup.folder), pytest.fail)
        assert in_words(run_reconcile(None, full=True)).keys() <= {"recorded", "closed", "still_open", "judged_from"}
        accepted = set(Attempt.objects.filter(outcome="accepted").values_list("attempt_id", flat=True))
        jobs = list(Job.objects.values_list("job_id", flat=True))
        assert len(jobs) == len(set(jobs)) == len(accepted)
        assert set(jobs) == accepted <= {uuid.UUID(attempt_id) for attempt_id, _ in sent}
        found.append(len(jobs))
    assert found == sorted(found)
    assert 0 < found[0] < found[-1] <= len(sent)
