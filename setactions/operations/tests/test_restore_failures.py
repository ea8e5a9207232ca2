"""A restore that fails in the middle: the databases are as they were, or what is kept is named."""

import os
from pathlib import Path

import pytest
from django.core.management import CommandError
from django.db import connections

from setactions.management.commands import migrate_all
from setactions.operations.backups import postgresql, restoration, sqlite
from setactions.operations.backups.engine import BackupError, NotPutBackError
from setactions.operations.backups.restoration import UNCHANGED, restore, verified
from setactions.operations.tests.restores import everything, fail, nothing_changes, refused, run

pytestmark = pytest.mark.usefixtures("databases", "tms", "nobody_connected")


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
