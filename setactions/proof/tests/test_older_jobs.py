"""Jobs from before there were signatures, and what gives them theirs."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command

from audit.models import AuditEntry
from audit.tests.making import tampering
from jobs.models import Job
from jobs.stored import read_job
from setactions.proof.tests.forging import (
    COLUMNS,
    archive_all,
    forge_job,
    problems,
    set_column,
    write,
)
from setactions.resolving.tests.doubting import (
    LOST_AFTER,
    LOST_BEFORE,
    in_words,
    run,
    send,
    send_and_die,
)
from tmsdash.tests.tools import kinds_of

pytestmark = pytest.mark.usefixtures("databases", "tms", "impatient")
OWED = "service: answer in the audit"


def forget_signatures():
    """Leave jobs and audit as an older version wrote them."""
    write("jobs", "UPDATE jobs_job SET mac = '', key_id = ''")
    with tampering() as cursor:
        for entry in AuditEntry.objects.filter(kind="RECORDED"):
            cursor.execute("SELECT 1")
            body = json.dumps({"job_id": str(entry.attempt_id)}, separators=(",", ":"))
            cursor.execute("UPDATE audit_auditentry SET body = %s WHERE sequence = %s", [body, entry.sequence])


def test_older_jobs_fit_field_by_field(fetch):
    send(fetch, "z9", "a1")
    send(fetch, "c", token=LOST_AFTER)
    run()
    forget_signatures()
    assert problems() == {}


@pytest.mark.parametrize("column", sorted(COLUMNS.keys() - {"mac"}))
def test_an_altered_older_job_is_named(fetch, column):
    send(fetch)
    forget_signatures()
    set_column("jobs", "jobs_job", column, COLUMNS[column])
    assert problems()


def test_an_older_job_is_recorded_if_the_audit_says_that_tms_accepted(fetch):
    attempt = send_and_die(fetch, "service: job committed")
    forget_signatures()
    assert in_words(run(None)) == {"closed": 1, "recorded": 1}
    assert kinds_of(attempt.attempt_id) == ["INTENT", "ACCEPTED", "RECORDED"]
    assert problems() == {}


def migrate_back_and_forth():
    try:
        call_command("migrate", "jobs", "0006_legacy", database="jobs", verbosity=0)
    finally:
        call_command("migrate", "jobs", database="jobs", verbosity=0)


@pytest.mark.parametrize("audit", ["0021_macs_as_bytes", "0020_day_tallies"])
@pytest.mark.parametrize("is_archived", [False, True])
def test_jobs_get_their_signatures_back_after_a_migration_back(fetch, settings, tmp_path, is_archived, audit):
    """Whatever state the audit is in by then: `migrate_all` comes to it last."""
    settings.AUDIT_SEAL_DIR = tmp_path / "seals"
    send(fetch, "z9", "a1")
    before = Job.objects.values("mac", "key_id").get()
    if is_archived:
        archive_all(settings.AUDIT_SEAL_DIR)
    try:
        call_command("migrate", "audit", audit, database="audit", verbosity=0)
        migrate_back_and_forth()
    finally:
        call_command("migrate", "audit", database="audit", verbosity=0)
    assert Job.objects.values("mac", "key_id").get() == before
    assert problems() == {}


def test_a_migration_signs_no_job_that_was_changed_or_forged(fetch):
    altered = send(fetch, "z9", "a1")
    set_column("jobs", "jobs_job", "status", "failed")
    attempt = send(fetch, token=LOST_BEFORE)
    forged = read_job(forge_job(attempt))
    values = AuditEntry.objects.filter(attempt_id=attempt.attempt_id, kind="UNKNOWN").values().get()
    body = json.dumps({"job_digest": forged.digest})
    AuditEntry(**values | {"sequence": 99, "kind": "RECORDED", "body": body}).save()
    migrate_back_and_forth()
    assert [*Job.objects.values_list("mac", flat=True)] == ["", ""]
    assert problems().keys() == {altered.attempt_id, attempt.attempt_id}


def test_the_job_time_of_an_older_job_lies_between_its_events(fetch):
    send(fetch)
    forget_signatures()
    Job.objects.update(created_at=datetime.now(UTC) + timedelta(days=1))
    assert "is not between" in next(iter(problems().values()))[0]
