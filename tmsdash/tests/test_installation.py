"""What is installed from an archive: no history, tests, demo or simulated TMS, and the site runs all the same."""

import fnmatch
import io
import os
import shutil
import socket
import subprocess
import sys
import tarfile

import pytest
import requests
from django.conf import settings

from tmsdash.tests.tools import until

ATTRIBUTES = settings.BASE_DIR / "deploy" / "installation.attributes"
LEFT_OUT = [line.split()[0] for line in ATTRIBUTES.read_text().splitlines() if line.endswith(" export-ignore")]


def from_archive(folder):
    git = [shutil.which("git") or "git", "-C", settings.BASE_DIR, "-c", f"core.attributesFile={ATTRIBUTES}"]
    archive = subprocess.run([*git, "archive", "HEAD"], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")


def copied(folder):
    """The same without git's help, where the product is no clone."""

    def ignored(parent, names):
        place = os.path.relpath(parent, settings.BASE_DIR).removeprefix(".")
        paths = {name: f"/{place}/{name}".replace("//", "/") for name in names}
        patterns = [*LEFT_OUT, ".*", "var", "__pycache__"]
        return [n for n in names if any(fnmatch.fnmatch(paths[n] if "/" in p else n, p) for p in patterns)]

    shutil.copytree(settings.BASE_DIR, folder, ignore=ignored, dirs_exist_ok=True)


@pytest.fixture
def installed(tmp_path):
    """A folder with an installation, and a function that runs its manage.py."""
    folder = tmp_path / "site"
    folder.mkdir()
    (from_archive if (settings.BASE_DIR / ".git").exists() else copied)(folder)
    environment = {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, "VAR_DIR": str(tmp_path / "var")}
    environment |= {"AUDIT_SEAL_DIR": str(tmp_path / "seals")}

    def manage(*arguments):
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)

    return folder, manage


def test_an_installation_has_nothing_that_it_does_not_need(installed):
    folder, manage = installed
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    assert {"manage.py", "tmsdash/settings.py", "setactions/service.py", "README.md", "deploy/nginx.conf"} <= names
    words = ("tests", ".git", "conftest", "simulator", "proofs", "demo", "bench", "measuring", "-dev", ".ci")
    assert [name for name in names if any(word in name for word in words)] == []
    printed, _ = manage("help").communicate(timeout=120)
    assert {"migrate_all", "serve", "reconcile", "audit_verify"} <= set(printed.split())
    assert not {"tms_simulator", "prove", "bench"} & set(printed.split())


@pytest.mark.linux
def test_an_installation_migrates_checks_and_serves(installed):
    _, manage = installed
    for arguments in (("migrate_all", "-v0"), ("check",), ("reconcile",), ("audit_verify",)):
        with manage(*arguments) as process:
            process.communicate(timeout=120)
        assert process.returncode == 0, arguments
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def healthy():
        try:
            return requests.get(f"http://127.0.0.1:{port}/health", timeout=60).ok
        except requests.RequestException:
            return False

    with manage("serve", "--port", str(port)) as server:
        try:
            until(healthy)
            assert requests.get(f"http://127.0.0.1:{port}/login/", timeout=60).status_code == 200
        finally:
            server.terminate()
