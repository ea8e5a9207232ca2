"""What a process does first: its files are open to their owner alone, and the system shows no token of it."""

import os
import shutil
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings as django_settings

from setactions.devtools.simulator import Simulator
from tmsdash.tests.tools import free_ports, run_python, until

PLANTED = "fault:slow:0.5"  # the simulated TMS tells by it which token it got
BATCH = ("--user", "olivia", "--cluster", "evian3", "--action", "PE-Enable", "--yes")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of an installation with an operator, made under the usual mask of a shell."""
    folder = tmp_path_factory.mktemp("made") / "var"
    before = os.umask(0o022)
    make = (
        "from django.contrib.auth.models import *;"
        "User.objects.create_user('olivia').groups.add(Group.objects.get(name='Operators'))"
    )
    for command in (("migrate_all", "-v0"), ("shell", "-v0", "-c", make)):
        assert run_python("manage.py", *command, var_dir=folder).returncode == 0
    yield folder
    os.umask(before)


@pytest.fixture
def site(made, tmp_path):
    """A function that runs commands of a copy of that installation."""
    shutil.copytree(made, tmp_path / "var")  # with the modes of its files
    environment = {"AUDIT_SEAL_DIR": str(tmp_path / "seals")}

    def run(*arguments, **extra):
        return run_python("manage.py", *arguments, var_dir=tmp_path / "var", **environment, **extra)

    return run


def modes(folder):
    """Return what lies below a folder that anybody but its owner may use, with the modes."""
    found = {path: stat.S_IMODE(path.lstat().st_mode) for path in folder.rglob("*")}
    assert found
    return {str(path): oct(mode) for path, mode in found.items() if mode & 0o077}


# -- Files --------------------------------------------------------------------------------------------------------


@pytest.mark.sqlite
def test_whatever_the_commands_write_is_its_owners_only(site, tmp_path):
    with Simulator() as tms:
        (tmp_path / "made").mkdir(mode=0o700)
        (tmp_path / "list.csv").write_text("customer_id\na1\nb2\n")
        (tmp_path / "list.csv").chmod(0o600)
        report = ("--report", str(tmp_path / "made" / "report.csv"))
        environment = {"TMS_TOKEN": PLANTED, "TMS_CLUSTERS": f"evian3={tms.url}"}
        ended = [
            site("set_action_batch", str(tmp_path / "list.csv"), *BATCH, *report, **environment),
            site("audit_seal"),
            site(
                "audit_export",
                *("--since", "2026-01-01", "--until", "2026-01-01"),
                "--output",
                str(tmp_path / "made/x"),
            ),
            site("backup", str(tmp_path / "backups")),
        ]
        [backup] = (tmp_path / "backups").iterdir()
        ended.append(site("restore", "--yes", str(backup)))
        ended.append(site("collectstatic", "--noinput"))
    assert [(one.returncode, one.stderr) for one in ended if one.returncode] == []
    assert (tmp_path / "made" / "report.csv").exists()
    assert list((tmp_path / "seals").glob("seals-*.jsonl"))
    assert (tmp_path / "var" / "static" / "staticfiles.json").exists()
    assert modes(tmp_path) == {}


def test_files_that_others_may_read_are_named_with_the_line_that_closes_them(site, tmp_path):
    (tmp_path / "var" / "jobs.db").chmod(0o644)
    (tmp_path / "var" / "audit_key").chmod(0o640)
    ended = site("check")
    assert "Other users of this machine may read audit_key, jobs.db." in ended.stderr
    assert f"chmod 600 {tmp_path}/var/audit_key {tmp_path}/var/jobs.db" in ended.stderr


def test_a_token_file_that_others_may_read_is_warned_of(site, tmp_path):
    file = tmp_path / "token"
    file.write_text(PLANTED)
    for mode, is_open in ((0o644, True), (0o640, True), (0o600, False)):
        file.chmod(mode)
        ended = site("reconcile", "--token-file", str(file))
        assert ("Other users of this machine can read the token file." in ended.stderr) is is_open
        assert (ended.returncode, PLANTED in ended.stderr) == (0, False)


# -- The token ----------------------------------------------------------------------------------------------------


def environments(pid):
    """Return what the system shows of the environments of a process and of all that it started."""
    shown = [Path(f"/proc/{pid}/environ").read_bytes()]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            shown += environments(child)
    return shown


@contextmanager
def running(*arguments, ready, folder, **environment):
    """A process with the planted token in its environment, once its output holds `ready`."""
    environment |= {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, "VAR_DIR": str(folder), "TMS_TOKEN": PLANTED}
    log = folder.parent / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-u", *arguments],
            env=environment,
            cwd=django_settings.BASE_DIR,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )
    try:
        until(lambda: ready in log.read_text() or process.poll() is not None)
        assert ready in log.read_text()
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


@pytest.mark.linux
@pytest.mark.sqlite
def test_a_batch_that_runs_for_hours_shows_no_token_and_has_it_all_the_same(site, tmp_path):
    (tmp_path / "list.csv").write_text("customer_id\n" + "".join(f"c{number}\n" for number in range(40)))
    with Simulator() as tms:
        batch = ("manage.py", "set_action_batch", str(tmp_path / "list.csv"), *BATCH, "--chunk", "1")
        clusters = {"TMS_CLUSTERS": f"evian3={tms.url}"}
        with running(*batch, ready="[SET_ACTION]", folder=tmp_path / "var", **clusters) as process:
            shown = environments(process.pid)
            until(tms.calls)
        assert tms.calls()[0].fault == "slow"
    assert all(b"VAR_DIR" in one and PLANTED.encode() not in one and b"TMS_TOKEN" not in one for one in shown)


@pytest.mark.linux
@pytest.mark.parametrize(
    ("arguments", "ready"),
    [
        (("manage.py", "tms_simulator", "--port", "0"), "http://127.0.0.1:"),
        (("-m", "setactions.devtools.demo"), "Sign in at"),
    ],
)
def test_what_needs_no_token_drops_it_and_so_do_its_children(tmp_path, ports, arguments, ready):
    with running(*arguments, ready=ready, folder=tmp_path / "var", **ports) as process:
        shown = environments(process.pid)
    assert all(b"VAR_DIR" in one and PLANTED.encode() not in one for one in shown)


@pytest.fixture
def ports():
    return dict(zip(("PORT", "TMS_PORT"), map(str, free_ports(2)), strict=True))


CHILD = "import os, subprocess; print(subprocess.run(['env'], capture_output=True, text=True).stdout)"


def test_no_command_hands_the_token_to_a_program_that_it_starts(site, tmp_path):
    (tmp_path / "env").write_text(f"TMS_TOKEN={PLANTED}\n")
    for environment in ({"TMS_TOKEN": PLANTED}, {"ENV_FILE": str(tmp_path / "env")}):
        ended = site("shell", "-v0", "-c", CHILD, **environment)
        assert "VAR_DIR=" in ended.stdout
        assert PLANTED not in ended.stdout + ended.stderr


def test_an_odd_token_in_the_environment_is_refused_as_everywhere(site, tmp_path):
    (tmp_path / "list.csv").write_text("customer_id\na1\n")
    reasons = {
        " ": "token is needed",
        "x" * 100_000: "8,192",
        "with space": "a space within the token",
        "é" * 20: "visible ASCII",
    }
    for token, reason in reasons.items():
        environment = {"TMS_TOKEN": token, "TMS_CLUSTERS": "evian3=http://127.0.0.1:1"}
        ended = site("set_action_batch", str(tmp_path / "list.csv"), *BATCH, **environment)
        assert (ended.returncode, "Traceback" in ended.stderr) == (1, False)
        assert reason in ended.stderr


IN_A_CYCLE = """
import sys, manage
class Cycle:
    def __init__(self): self.itself = self
    def __del__(self): print("looked through")
cycle = Cycle()
sys.argv = ["manage.py", *sys.argv[1:]]
manage.main()
"""


def test_a_command_ends_at_once_with_its_databases_closed(site, tmp_path):
    """Python would look through all that was loaded first, which takes longer than many a command."""
    shutil.copytree(tmp_path / "var", tmp_path / "copy")
    ended = run_python("-c", IN_A_CYCLE, "reconcile", var_dir=tmp_path / "copy")
    assert (ended.returncode, "looked through" in ended.stdout) == (0, False), ended.stderr
    assert [*(tmp_path / "copy").glob("*-wal")] == []
