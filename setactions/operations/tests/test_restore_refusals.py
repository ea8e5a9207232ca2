"""`manage.py restore` asks first, and refuses what it should not restore before it touches anything."""

import os
import pty
import socket
import subprocess
import sys
from io import StringIO

import pytest
import requests
from django.conf import settings as django_settings
from django.core.management import CommandError
from django.db import connections

from setactions.operations.backups.creation import database_of
from setactions.operations.tests.restores import nothing_changes, refused, run
from setactions.resolving.tests.doubting import environment_of_process
from tmsdash.tests.tools import install, other_process, run_python, until

pytestmark = pytest.mark.usefixtures("databases", "tms", "nobody_connected")


# -- Who is asked -------------------------------------------------------------------------------------------------


def test_without_a_terminal_it_needs_an_option(backup, monkeypatch):
    monkeypatch.setattr(sys, "stdin", StringIO("yes\n"))
    with (
        nothing_changes(),
        pytest.raises(CommandError, match="nobody to ask. Give --yes. Nothing was changed") as failed,
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
    refused(backup, "database jobs is for another, but the settings name")


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
