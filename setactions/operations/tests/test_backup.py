"""`manage.py backup`: what is in it, what it says, and what it keeps to itself."""

import hashlib
import json
import re
import stat
import subprocess
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connections

from audit.models import Attempt
from audit.tests.making import make_attempt
from jobs.models import Job
from jobs.tests.making import make_job
from setactions.operations.backups import postgresql
from setactions.operations.backups.consistency import lacking
from setactions.operations.backups.creation import back_up
from setactions.operations.tests.backing_up import rows_of, run
from setactions.resolving.tests.doubting import send

pytestmark = pytest.mark.usefixtures("databases", "tms")


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


def test_an_attempt_that_nobody_answered_is_no_disagreement(tmp_path):
    make_attempt()
    assert Attempt.objects.get().is_open
    assert back_up(tmp_path).manifest.disagreements == []
