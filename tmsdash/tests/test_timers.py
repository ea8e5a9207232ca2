"""The lines of crontab in the operating guide, as cron runs them: no output, and so no mail, when all is well."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from tmsdash.tests.tools import install

pytestmark = pytest.mark.sqlite
ROOT = Path(settings.BASE_DIR)
CRONTAB_LINE = re.compile(r"^(?:[\d*/,-]+ +){5}(.+)$", re.MULTILINE)
PAGES = [ROOT / "README.md", *ROOT.glob("docs/*.md")]
COMMANDS = [command for page in PAGES for command in CRONTAB_LINE.findall(page.read_text(encoding="utf-8"))]
PLACES = {"/opt/tms-dashboard": "site", "/backups/tms-dashboard": "backups"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with an installation that serves other hosts than this one."""
    folder = tmp_path_factory.mktemp("cron")
    site = folder / PLACES["/opt/tms-dashboard"]
    for name in ("tmsdash", "audit", "jobs", "setactions", "templates"):
        shutil.copytree(ROOT / name, site / name, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    for name in ("manage.py", "pyproject.toml"):
        shutil.copy(ROOT / name, site)
    (site / ".venv").symlink_to(sys.prefix)
    (site / ".env").write_text("ALLOWED_HOSTS=dashboard.example\nTMS_CLUSTERS=evian3=https://evian3.example\n")
    install(site / "var")
    return folder


def run(command, folder):
    """How `command` ends, and what it prints, in an environment as poor as cron's."""
    for place, name in PLACES.items():
        command = command.replace(place, str(folder / name))
    environment = {"HOME": str(folder), "LOGNAME": "tms", "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
    ended = subprocess.run(
        ["/bin/sh", "-c", command],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_there_is_a_line_for_each_command_of_the_guide():
    named = [re.search(r"manage\.py (\w+)", command)[1] for command in COMMANDS]
    assert named == ["reconcile", "audit_seal", "backup", "audit_verify", "clearsessions"]
    assert not any("%" in command for command in COMMANDS)  # a line break, to cron


@pytest.mark.parametrize("command", COMMANDS)
def test_when_all_is_well_nothing_is_printed(command, site):
    code, printed = run(command, site)
    assert (code, printed) == (0, ""), printed


@pytest.mark.parametrize("command", COMMANDS)
def test_when_the_databases_are_away_it_says_so(command, site):
    databases = site / "site" / "var"
    databases.rename(site / "away")
    try:
        code, printed = run(command, site)
    finally:
        (site / "away").rename(databases)
    assert code != 0
    assert printed.strip()
    assert "Traceback" not in printed
