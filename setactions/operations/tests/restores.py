"""A backup to restore, and whether a restore left the databases as they were."""

import json
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connections

from setactions.operations.backups.creation import back_up
from setactions.resolving.tests.doubting import send
from tmsdash import site_keys


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


def refused(backup, message):
    with nothing_changes(), pytest.raises(CommandError, match=message) as failed:
        run(backup[0].folder, "--yes")
    assert failed.value.returncode == 1


def fail(*args, **kwargs):
    raise OSError(28, "No space left on device")
