"""The way back to an earlier version: what it would throw away is named first, all else comes back."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from audit.choices import Kind
from audit.models import Attempt, AuditEntry
from audit.proof.verification import verify
from audit.tests.making import make_attempt
from jobs.models import Job, JobCustomer
from jobs.tests.making import make_job
from tmsdash.db.way_back import NoWayBack, targets_of

pytestmark = pytest.mark.usefixtures("databases")
APPS = {"tmsdash": "default", "jobs": "jobs", "audit": "audit"}


def old_version(folder, *, without="", **last):
    """The folder of an earlier version, whose last migrations are these numbers, and which has not an app."""
    known = sorted(MigrationLoader(None).disk_migrations)
    there = [each for each in known if each[0] != without and int(each[1][:4]) <= last.get(each[0], 9999)]
    lines = [f"[X]  {label}.{name}" for label, name in there]
    (folder / "manage.py").write_text(f"print({chr(10).join(lines)!r})")
    return folder


def make_imported_job():
    Job.objects.filter(pk=make_job().pk).update(legacy=True, old_status="SUCCESS")


def applied(label):
    return max(name for app, name in MigrationRecorder(connections[APPS[label]]).applied_migrations() if app == label)


def forwards():
    for alias in APPS.values():
        call_command("migrate", database=alias, verbosity=0)


@pytest.mark.parametrize("label", ["jobs", "audit"])
def test_neither_the_audit_nor_the_jobs_are_thrown_away_unless_somebody_names_them(label):
    job, attempt = make_job(), make_attempt(Kind.ACCEPTED, Kind.RECORDED)
    with pytest.raises(CommandError, match=rf"Nothing was changed: .*{label}_\w+ \(\d rows?\).*--discard {label}_"):
        call_command("migrate", label, "zero", database=label, verbosity=0)
    with pytest.raises(CommandError, match="Nothing was changed"):
        call_command("migrate", label, "zero", database=label, verbosity=0, discard=["jobs_batch", "audit_auditentry"])
    assert Job.objects.get() == job
    assert Attempt.objects.get() == attempt
    assert verify().is_whole


def test_the_chain_of_the_audit_and_what_was_imported_are_not_thrown_away_either():
    make_attempt(Kind.ACCEPTED)
    make_imported_job()
    with pytest.raises(CommandError, match=r"audit_auditentry.mac .*audit_chainhead \(1 row\)"):
        call_command("migrate", "audit", "0003", database="audit", verbosity=0)
    with pytest.raises(CommandError, match=r"jobs_job.legacy \(1 row\), jobs_job.old_status \(1 row\)"):
        call_command("migrate", "jobs", "0005", database="jobs", verbosity=0)
    assert verify().is_whole


def test_what_nobody_can_lose_needs_no_name_and_looking_changes_nothing():
    call_command("migrate", "audit", "zero", database="audit", plan=True, stdout=StringIO())
    with pytest.raises(CommandError, match="Cannot find a migration matching '0999'"):
        call_command("migrate", "audit", "0999", database="audit", verbosity=0)
    make_job()
    try:
        call_command("migrate", "jobs", "0017", database="jobs", verbosity=0)
    finally:
        forwards()
    assert Job.objects.count() == 1


def test_all_databases_go_back_to_an_earlier_version_and_forward_again_with_nothing_lost(tmp_path):
    make_attempt(Kind.ACCEPTED, Kind.RECORDED, note="CHG-7: planned")
    make_attempt(Kind.UNKNOWN)
    make_job()
    make_imported_job()
    before = [*AuditEntry.objects.order_by("pk").values()], [*Attempt.objects.order_by("pk").values()]
    jobs = [*Job.objects.values()], [*JobCustomer.objects.values()]
    output, old = StringIO(), old_version(tmp_path, without="mfa", tmsdash=4, jobs=16, audit=20)
    try:
        call_command("migrate_all", back_to=old, stdout=output, verbosity=0)
        assert [applied(label)[:4] for label in APPS] == ["0004", "0016", "0020"]
        assert "mfa_authenticator" not in connections["default"].introspection.table_names()
        assert "The databases are those of" in output.getvalue()
    finally:
        forwards()
    assert ([*AuditEntry.objects.order_by("pk").values()], [*Attempt.objects.order_by("pk").values()]) == before
    assert ([*Job.objects.values()], [*JobCustomer.objects.values()]) == jobs
    assert verify().findings == []


def test_nothing_goes_back_if_one_database_would_lose_something(tmp_path):
    make_imported_job()
    with pytest.raises(CommandError, match="Nothing was changed: .*jobs_job.legacy"):
        call_command("migrate_all", back_to=old_version(tmp_path, tmsdash=4, jobs=5), verbosity=0)
    assert applied("tmsdash") > "0005"


def test_a_folder_without_an_earlier_version_is_refused(tmp_path):
    with pytest.raises(CommandError, match="Nothing was changed. .* holds no version of the dashboard"):
        call_command("migrate_all", back_to=tmp_path, verbosity=0)
    (tmp_path / "manage.py").write_text("print('[ ]  audit.9999_later')")
    with pytest.raises(NoWayBack, match="is no earlier version: it has audit 9999_later, which this one has not"):
        targets_of(tmp_path)


def test_databases_of_a_later_version_are_neither_migrated_nor_served():
    MigrationRecorder(connections["audit"]).record_applied("audit", "9999_later")
    MigrationRecorder(connections["audit"]).record_applied("audit", "0016_a_name_of_before")
    try:
        for command in ("migrate_all", "serve"):
            with pytest.raises(CommandError, match="of a later version of the product .they have audit 9999_later"):
                call_command(command, **({"port": 18159} if command == "serve" else {"verbosity": 0}))
    finally:
        for name in ("9999_later", "0016_a_name_of_before"):
            MigrationRecorder(connections["audit"]).record_unapplied("audit", name)
