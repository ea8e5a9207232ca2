"""`manage.py restore`: a backup in the place of the databases, or the databases as they were."""

import json
import os
import pty
import socket
import sqlite3
import subprocess
import sys
import threading
import uuid
from contextlib import closing, contextmanager
from io import StringIO
from pathlib import Path

import pytest
import requests
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connections

from audit.models import Attempt, AuditEntry
from audit.proof.verification import verify
from jobs.batches import ledger
from jobs.models import Job
from jobs.tests.making import make_batch
from setactions.management.commands import migrate_all
from setactions.operations.backups import postgresql, restoration, sqlite
from setactions.operations.backups.creation import back_up, database_of
from setactions.operations.backups.engine import BackupError, NotPutBackError
from setactions.operations.backups.restoration import UNCHANGED, restore, verified
from setactions.proof.database_check import database_problems
from setactions.resolving.tests.doubting import environment_of_process, in_words, send
from setactions.resolving.tests.doubting import run as run_reconcile
from tmsdash import site_keys
from tmsdash.commands import os_actor_name
from tmsdash.tests.fixtures import PASSWORD, signed_in
from tmsdash.tests.tools import at_once, install, other_process, run_python, until

pytestmark = pytest.mark.usefixtures("databases", "tms", "nobody_connected")


def everything():
    """Every row of the three databases, but what tells of a restore."""
    rows = {model._meta.label: list(model.objects.order_by("pk").values()) for model in apps.get_models()}
    del rows["audit.ChainHead"]  # moves with that entry
    rows["audit.AuditEntry"] = [
        entry for entry in rows["audit.AuditEntry"] if '"change":"restored"' not in entry["body"]
    ]
    return rows


def run(folder, *arguments):
    """Run the command in this process; returns what it printed."""
    printed = StringIO()
    call_command("restore", str(folder), *arguments, stdout=printed)
    return printed.getvalue()


@pytest.fixture
def backup(fetch, tmp_path):
    """A backup of one Set Action; afterwards there was another one, and a new account."""
    site_keys.remember()
    send(fetch, "a1", "b2")
    made = back_up(tmp_path / "backups")
    made_of = everything()
    send(fetch, "c3")
    User.objects.create_user("later")
    return made, made_of


@pytest.fixture
def edited(backup):
    """Change the manifest of the backup."""

    def edit(change):
        file = backup[0].folder / "manifest.json"
        manifest = json.loads(file.read_text())
        change(manifest)
        file.write_text(json.dumps(manifest))

    return edit


@contextmanager
def nothing_changes():
    """The block leaves the databases as they are, and no file beside them."""
    before, files = everything(), beside()
    yield
    assert everything() == before
    assert beside() == files


def beside():
    names = [Path(one.settings_dict["NAME"]) for one in connections.all() if one.vendor == "sqlite"]
    companions = ("-wal", "-shm", ".lock")
    return [
        path.name for name in names for path in name.parent.glob(f"{name.name}*") if not path.name.endswith(companions)
    ]


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


# -- Who is asked -------------------------------------------------------------------------------------------------


def test_without_a_terminal_it_needs_an_option(backup, monkeypatch):
    monkeypatch.setattr(sys, "stdin", StringIO("yes\n"))
    with (
        nothing_changes(),
        pytest.raises(CommandError, match="nobody to ask. Give --yes .*Nothing was changed") as failed,
    ):
        run(backup[0].folder)
    assert failed.value.returncode == 1


@pytest.mark.sqlite
@pytest.mark.parametrize(("answer", "code"), [("yes", 0), ("no", 1), ("", 1)])
def test_at_a_terminal_it_asks(tmp_path, answer, code):
    install(tmp_path)
    assert run_python("manage.py", "backup", str(tmp_path / "backups"), var_dir=tmp_path).returncode == 0
    [folder] = (tmp_path / "backups").iterdir()
    terminal, own_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "manage.py", "restore", str(folder)],
        env={"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, "VAR_DIR": str(tmp_path)},
        cwd=django_settings.BASE_DIR,
        stdin=own_end,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.write(terminal, f"{answer}\n".encode())
    printed, said = process.communicate(timeout=60)
    os.close(terminal)
    os.close(own_end)
    assert process.returncode == code, said
    assert "This puts the state of" in printed
    assert ("Nothing was changed." in said) == bool(code)
    assert len(list(tmp_path.glob("*.before-restore-*"))) == (0 if code else 3)


# -- What it refuses, before it touches anything ------------------------------------------------------------------


def refused(backup, message):
    with nothing_changes(), pytest.raises(CommandError, match=message) as failed:
        run(backup[0].folder, "--yes")
    assert failed.value.returncode == 1


@pytest.mark.parametrize("alias", ["default", "jobs", "audit"])
def test_a_file_that_was_changed_is_refused(backup, alias):
    file = backup[0].folder / backup[0].manifest.databases[alias].file
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    refused(backup, f"{file.name} is not the file that the backup wrote")


def test_a_file_that_is_missing_is_refused(backup):
    file = backup[0].folder / backup[0].manifest.databases["audit"].file
    file.unlink()
    refused(backup, f"{file.name} cannot be read: No such file")


@pytest.mark.parametrize("damage", [b"not a database", None], ids=["another file", "cut"])
def test_a_damaged_file_is_refused_though_the_manifest_agrees(backup, edited, damage):
    file = backup[0].folder / backup[0].manifest.databases["audit"].file
    file.write_bytes(damage or file.read_bytes()[: file.stat().st_size // 2])
    entry = database_of("audit").entry_of(file, backup[0].manifest.databases["audit"].contents)
    edited(lambda manifest: manifest["databases"]["audit"].update(bytes=entry.bytes, sha256=entry.sha256))
    refused(backup, f"{file.name} is damaged")


def test_migrations_that_this_version_does_not_know_are_refused(backup, edited):
    def change(manifest):
        manifest["databases"]["jobs"]["contents"]["migrations"].append(["jobs", "0099_of_tomorrow"])

    edited(change)
    refused(backup, "does not know: jobs.0099_of_tomorrow")


def test_another_engine_is_refused(backup, edited):
    edited(lambda manifest: manifest["databases"]["jobs"].update(engine="another"))
    refused(backup, "database jobs is one of another, and the settings name one of")


def test_a_backup_that_lacks_a_database_is_refused(backup, edited):
    edited(lambda manifest: manifest["databases"].pop("audit"))
    refused(backup, "does not hold the databases default, jobs, audit")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is no backup: there is no manifest.json"),
        ("{", "cannot be read"),
        ("[]", "is damaged"),
        ('{"format": 1}', "is damaged"),
        ('{"format": 2}', "another version of this program"),
    ],
)
def test_a_manifest_that_is_none_is_refused(backup, text, message):
    file = backup[0].folder / "manifest.json"
    file.unlink()
    if text is not None:
        file.write_text(text)
    refused(backup, message)


def test_a_file_outside_the_backup_is_refused(backup, edited):
    edited(lambda manifest: manifest["databases"]["jobs"].update(file="../../etc/passwd"))
    refused(backup, "is damaged: .*not the name of a file")


@pytest.mark.parametrize("alias", ["default", "jobs", "audit"])
def test_a_connection_of_anybody_else_is_refused(backup, alias):
    with other_process(alias) as other:
        other.execute("SELECT count(*) FROM django_migrations")
        refused(backup, "Stop the site")


@pytest.fixture
def idle_site(tmp_path):
    """A server that nobody has asked for anything yet, with a backup of its databases; yields a way to restore that."""
    install(tmp_path)
    assert run_python("manage.py", "backup", str(tmp_path / "backups"), var_dir=tmp_path).returncode == 0
    [folder] = (tmp_path / "backups").iterdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--port", str(port)],
            env={"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, "VAR_DIR": str(tmp_path)},
            cwd=django_settings.BASE_DIR,
            stdout=log,
            stderr=log,
        )
    try:
        until(lambda: "Started worker" in (tmp_path / "log").read_text())
        yield process, port, lambda: run_python("manage.py", "restore", "--yes", str(folder), var_dir=tmp_path)
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.sqlite
def test_a_running_site_is_refused_even_if_nobody_has_asked_it_for_anything(idle_site, tmp_path):
    process, port, restore_it = idle_site
    for _ in range(2):  # the second time somebody has
        refusal = restore_it()
        assert (refusal.returncode, refusal.stdout) == (1, "")
        assert "is in use. Stop the site" in refusal.stderr
        assert not list(tmp_path.glob("*.before-restore-*"))
        retry = requests.adapters.Retry(total=60, backoff_factor=0.05, backoff_max=1)
        with requests.Session() as session:
            session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
            assert session.get(f"http://127.0.0.1:{port}/health", timeout=60).ok
    process.terminate()
    process.wait(60)
    assert restore_it().returncode == 0


@pytest.mark.sqlite
def test_who_connects_while_a_restore_is_going_on_is_told_so(backup, tms, tmp_path):
    """It would go on with a file that has another name by now."""
    code = "from jobs.models import Job; print(Job.objects.count())"
    environment = environment_of_process(tms, tmp_path)
    database = database_of("jobs")
    with database.kept_out():
        connections["jobs"].close()
        with database.replaced(backup[0].folder / "jobs.sqlite3", tmp_path, "now"):
            ended = run_python("manage.py", "shell", "-v0", "-c", code, **environment, var_dir=tmp_path)
            assert ended.returncode == 1
            assert "database 'jobs' is being restored" in ended.stderr
    ended = run_python("manage.py", "shell", "-v0", "-c", code, **environment, var_dir=tmp_path)
    assert (ended.returncode, ended.stdout) == (0, "1\n")


# -- What fails in the middle -------------------------------------------------------------------------------------


def fail(*args, **kwargs):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("alias", ["default", "jobs", "audit"])
def test_a_database_that_cannot_be_replaced_leaves_all_as_they_were(backup, monkeypatch, alias):
    original = restoration.database_of

    def one_that_fails(of):
        database = original(of)
        if of == alias:
            database.replaced = fail
        return database

    monkeypatch.setattr(restoration, "database_of", one_that_fails)
    with nothing_changes(), pytest.raises(BackupError, match=f"No space left on device. {UNCHANGED}"):
        restore(verified(backup[0].folder), pytest.fail)


def test_a_migration_that_fails_leaves_all_as_they_were(backup, monkeypatch):
    monkeypatch.setattr(migrate_all, "make_groups", fail)
    with nothing_changes(), pytest.raises(CommandError, match=UNCHANGED):
        run(backup[0].folder, "--yes")


def test_other_contents_than_the_manifests_leave_all_as_they_were(backup, edited):
    edited(lambda manifest: manifest["databases"]["audit"]["contents"]["rows"].update(audit_attempt=7))
    refused(backup, f"restored database audit is not what the backup holds. {UNCHANGED}")


def test_ctrl_c_leaves_all_as_they_were(backup, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(migrate_all, "make_groups", interrupt)
    with nothing_changes(), pytest.raises(CommandError, match=f"Stopped. {UNCHANGED}") as ended:
        run(backup[0].folder, "--yes")
    assert ended.value.returncode == 130


@pytest.mark.sqlite
def test_what_cannot_be_put_back_is_named_with_its_place(backup, monkeypatch):
    before = everything()

    def fail_for_good(*args, **kwargs):
        patch.setattr(sqlite, "_move", fail)
        fail()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrate_all, "make_groups", fail_for_good)
        with pytest.raises(NotPutBackError, match=r"could not be put back: .*put it back by hand: .*before-restore"):
            restore(verified(backup[0].folder), pytest.fail)
    for connection in connections.all():
        file = Path(connection.settings_dict["NAME"])
        assert not file.exists()
        max(file.parent.glob(f"{file.name}.before-restore-2*"), key=str).rename(file)
    assert everything() == before


@pytest.mark.postgresql
def test_a_dump_that_breaks_off_while_it_is_loaded_changes_nothing(backup, monkeypatch, tmp_path):
    """psql gets half of the script, and then its end: that must not be taken for all of it."""
    (tmp_path / "bin").mkdir()
    real = postgresql._program("pg_restore")
    broken = tmp_path / "bin" / "pg_restore"
    broken.write_text(f'#!/bin/sh\n{real} "$@" | head -n 100\nexit 1\n')
    broken.chmod(0o700)
    plan = verified(backup[0].folder)
    monkeypatch.setenv("PATH", str(broken.parent), prepend=os.pathsep)
    with nothing_changes(), pytest.raises(BackupError, match=f"could not be loaded .*{UNCHANGED}"):
        restore(plan, pytest.fail)


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
        assert in_words(run_reconcile(None, full=True)).keys() <= {"recorded", "closed"}
        accepted = set(Attempt.objects.filter(outcome="accepted").values_list("attempt_id", flat=True))
        jobs = list(Job.objects.values_list("job_id", flat=True))
        assert len(jobs) == len(set(jobs)) == len(accepted)
        assert set(jobs) == accepted <= {uuid.UUID(attempt_id) for attempt_id, _ in sent}
        found.append(len(jobs))
    assert found == sorted(found)
    assert 0 < found[0] < found[-1] <= len(sent)
