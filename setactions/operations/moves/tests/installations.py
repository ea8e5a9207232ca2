"""Installations to move: made-up ones in SQLite files, each test with copies of its own."""

import re
import shutil
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client

from setactions.operations.backups.creation import database_of
from setactions.operations.moves.move import Reporter, move
from setactions.operations.moves.places import Place, used
from setactions.operations.moves.sessions import session_with
from setactions.operations.moves.survey import surveyed
from setactions.operations.moves.tables import Content, tables_of
from tmsdash import startup
from tmsdash.tests.tools import install, run_python

FILES = {"default": "app.db", "jobs": "jobs.db", "audit": "audit.db"}
KEYS = ("SECRET_KEY", "TOKEN_KEY", "AUDIT_KEY")
# What differs on a page from one look to the next.
DIFFERENT = r'(csrfmiddlewaretoken" value|data-now|data-left-s)="[^"]*"|<span class="ago">[^<]*</span>|printed <span.*'
PAGES = (
    *(
        "/jobs/",
        "/batches/",
        "/apps/?whose=all",
        "/admin/jobs/runbookentry/",
        "/admin/jobs/job/",
        "/admin/audit/attempt/",
        "/admin/audit/auditentry/",
    ),
    *("/admin/auth/user/", "/admin/auth/group/1/change/", "/api/jobs/mine?limit=500"),
)
SILENT = Reporter(lambda text: None, lambda step, rows: None, lambda rows: None)


@cache
def _filled():
    folder = Path(tempfile.mkdtemp(dir=django_settings.VAR_DIR)) / "filled"
    install(folder)
    ended = run_python("manage.py", "fill_demo_data", "--jobs", "150", var_dir=folder)
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.fixture
def site(tmp_path, settings, monkeypatch, django_db_blocker):
    """The VAR_DIR of an installation with jobs, batches and an audit, whose keys this process has."""
    folder = tmp_path / "site"
    shutil.copytree(_filled(), folder)
    for name in KEYS:
        setattr(settings, name, (folder / name.lower()).read_text())
    settings.AUDIT_SEAL_DIR = str(tmp_path / "seals")
    settings.VAR_DIR = folder
    with django_db_blocker.unblock():
        yield folder
        connections.close_all()


def files_in(folder):
    """The three places of an installation in SQLite files of a folder."""
    folder.mkdir(exist_ok=True)
    return [Place.at("--to", f"sqlite:///{folder / name}") for name in FILES.values()]


def named(urls):
    """The three places that these settings name, in the order of their variables."""
    return [Place.at("--to", url) for url in urls.values()]


@contextmanager
def moving():
    """Let this process be the one that moves."""
    before, startup.command = startup.command, "move_data"
    try:
        yield
    finally:
        startup.command = before


def moved(sources, targets):
    """Move an installation in this process."""
    with moving():
        return move(surveyed(sources, targets), SILENT)


@contextmanager
def serving(places):
    """Let this process serve an installation at three places."""
    with used(dict(zip(FILES, places, strict=True))):
        yield
        connections.close_all()


def contents(places):
    """What each table of an installation holds, in a form that both engines share."""
    with moving(), serving(places):
        found = {}
        for alias in FILES:
            session = session_with(database_of(alias))
            for table in tables_of(alias):
                content = Content()
                for row in session.rows(table):
                    content.add_row(table, row)
                counter = session.highest(table) if table.counter else None
                found[alias, table.name] = content, counter
            session.close()
        return found


def signed_in(places):
    """The cookies of an administrator's session."""
    with serving(places):
        client = Client()
        client.force_login(User.objects.get(username="admin"))
        return client.cookies


def pages(places, cookies):
    """What an administrator sees of an installation, without what differs from one look to the next."""
    shown = {}
    with serving(places):
        client = Client()
        client.cookies = cookies
        for path in PAGES:
            answer = client.get(path)
            assert answer.status_code == 200, path
            shown[path] = re.sub(DIFFERENT, "", answer.content.decode())
    return shown
