"""The import of the old dashboard's files."""

import json
import logging
import uuid
from datetime import UTC, datetime
from unittest import mock

import pytest
from django.core.management import CommandError
from django.db import DatabaseError

from audit.choices import LEGACY_SOURCES
from audit.models import Attempt, AuditEntry
from audit.proof.verification import verify
from audit.summary import summarize
from jobs.models import Job
from setactions.operations.backups.consistency import disagreements
from setactions.operations.backups.creation import database_of
from setactions.operations.legacy import importer
from setactions.operations.legacy.tests.old_dashboard import JWT, OldDashboard, facts
from setactions.operations.legacy.values import HIDDEN
from setactions.proof.tests.forging import problems, set_column, write
from setactions.resolving.reconcile import reconcile
from setactions.resolving.tests.doubting import OPERATIONS, in_words
from tmsdash.commands import os_actor_name
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.usefixtures("databases", "tms")


def test_every_job_and_customer_is_imported_and_marked(old):
    batch = uuid.uuid4()
    job_id = old.job("b2", "a1", batch_id=str(batch), http_status=200, updated_at="2025-06-01T10:00:09")
    printed, reported = old.run()
    assert reported == []
    assert printed.splitlines()[0] == (
        "Jobs: 1 row with 2 customers, 1 imported, 0 there already, 0 bad and skipped. Doubled: 0."
    )
    job = Job.objects.get()
    assert (str(job.job_id), job.batch_id, job.user_id) == (job_id, batch, "olivia")
    assert (job.legacy, job.status, job.old_status, job.evidence) == (True, "success", "SUCCESS", "legacy")
    assert (job.action_code, job.action_name, job.http_status) == (2, "PE-Enable", 200)
    assert job.created_at == datetime(2025, 6, 1, 8, tzinfo=UTC)  # summer in Paris
    assert job.request_payload == {"action": "PE-Enable", "cids": ["b2", "a1"]}
    assert (job.response_summary, job.customer_count, job.source) == ({"success": True}, 2, "legacy")
    assert list(job.customers.values_list("cid", flat=True)) == ["b2", "a1"]
    attempt = Attempt.objects.get()
    assert (str(attempt.attempt_id), attempt.outcome, attempt.is_open) == (job_id, "legacy_success", False)
    assert (attempt.created_at, attempt.source) == (job.created_at, "legacy")
    entry = AuditEntry.objects.get()
    body = json.loads(entry.body)
    assert (entry.kind, entry.user_id, body["imported_by"]) == ("IMPORTED", "olivia", os_actor_name())
    assert (body["cids"], body["time"]) == (["b2", "a1"], "2025-06-01 08:00:00.000000")
    assert body["old"]["updated_at"] == "2025-06-01T10:00:09"
    assert verify().findings == []


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("user_id", "oscar"), ("status", "failed"), ("old_status", "DONE"), ("legacy", False), ("evidence", "reply")),
        *(("created_at", "2001-01-01 00:00:00"), ("doubles", "0" * 32), ("http_status", 500), ("batch_id", "0" * 32)),
        *(("request_payload", "{}"), ("response_summary", "[]"), ("cluster_url", "x"), ("customer_count", 7)),
        *(("action_code", 3), ("action_name", "T-Enable"), ("source", "form")),
    ],
)
def test_imported_jobs_fit_the_audit_until_somebody_alters_them(old, column, value, signed):
    old.job("b2", "a1", batch_id=str(uuid.uuid4()), status=" Ok ")
    old.job("b2", "a1", response_summary="no JSON", http_status=200, status=None)
    old.log()
    old.run()
    assert problems() == {}
    if not signed:
        write("jobs", "UPDATE jobs_job SET mac = '', key_id = ''")
        assert problems() == {}
    set_column("jobs", "jobs_job", column, value)
    assert problems()


def test_imported_jobs_that_are_gone_are_named(old):
    old.job("a1")
    old.run()
    write("jobs", "DELETE FROM jobs_jobcustomer")
    write("jobs", "DELETE FROM jobs_job")
    assert "import_legacy again" in next(iter(problems().values()))[0]


def test_every_row_of_the_audit_log_is_imported_in_utc(old):
    old.log()
    old.log(timestamp="2025-12-01T12:00:00", status="failure", error_message="CID unknown", action_type="Login")
    old.log(timestamp="2025-12-01T12:00:00+05:00", customer_ids=None)
    printed, reported = old.run()
    assert reported == []
    assert "Audit log: 3 rows with 4 customers, 3 imported, 0 there already, 0 bad" in printed
    first, second, third = Attempt.objects.order_by("pk")
    assert first.created_at == datetime(2025, 6, 1, 12, 0, 0, 500_000, tzinfo=UTC)
    assert second.created_at == datetime(2025, 12, 1, 12, tzinfo=UTC)
    assert third.created_at == datetime(2025, 12, 1, 7, tzinfo=UTC)
    assert (first.outcome, first.ip_address, first.action_code) == ("legacy_success", "10.0.0.7", 2)
    assert (second.outcome, second.error_message) == ("legacy_failed", "CID unknown")
    assert (second.action_name, second.action_code, third.customer_count) == ("Login", None, 0)
    assert {attempt.source for attempt in (first, second, third)} == {"legacy_log"}
    assert [attempt.has_job for attempt in (first, second, third)] == [False] * 3
    assert json.loads(AuditEntry.objects.first().body)["old"]["duration_ms"] == 312
    assert verify().findings == []
    assert not Job.objects.exists()


@pytest.mark.parametrize("verbosity", [1, 2])
def test_the_log_names_each_entry_only_if_asked_and_the_newest_anchor_is_printed(old, caplog, verbosity):
    caplog.set_level("INFO")
    old.job("a1")
    old.log()
    printed, _ = old.run(f"-v{verbosity}")
    assert caplog.text.count("[AUDIT] IMPORTED") == (2 if verbosity == 2 else 0)
    newest = AuditEntry.objects.latest("sequence")
    assert f"newest entry: 2:{newest.mac[:16]}. Keep it" in printed
    logging.getLogger("audit.chain").info("logged again")
    assert "logged again" in caplog.text


def test_a_second_run_adds_nothing_and_a_later_one_what_is_new(old):
    old.job("a1")
    old.log()
    old.run()
    before = [facts(model) for model in (Job, Attempt, AuditEntry)]
    printed, reported = old.run()
    assert "1 row with 1 customer, 0 imported, 1 there already" in printed
    assert "Audit log: 1 row with 2 customers, 0 imported, 1 there already" in printed
    assert [facts(model) for model in (Job, Attempt, AuditEntry)] == before
    old.job("a2")
    old.log()
    old.run()
    assert (Job.objects.count(), Attempt.objects.count()) == (2, 4)
    assert verify().findings == []


def test_an_import_that_broke_off_between_the_databases_goes_on(old):
    old.job("a1")
    with mock.patch.object(importer, "create_legacy_jobs", side_effect=DatabaseError("full")):
        with pytest.raises(CommandError, match="Run the import again later"):
            old.run()
    assert (Job.objects.count(), Attempt.objects.count()) == (0, 1)
    old.run()
    assert (Job.objects.count(), Attempt.objects.count(), AuditEntry.objects.count()) == (1, 1, 1)


def test_files_of_the_older_kind_are_imported_too(tmp_path):
    old = OldDashboard(tmp_path, newer=False)
    old.job("a1", status="FAILED", response_summary="Read timed out. (read timeout=30)")
    old.run()
    assert Job.objects.get().status == "unknown"


def test_many_rows_are_imported_in_groups(old, monkeypatch):
    monkeypatch.setattr(importer, "ROWS_AT_ONCE", 3)
    for number in range(7):
        old.job(f"c{number}")
        old.log(customer_ids=f'["c{number}"]')
    old.run()
    assert (Job.objects.count(), Attempt.objects.count()) == (7, 14)
    assert verify().findings == []


# -- What the old dashboard knew ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "status"),
    [
        ({"status": "SUCCESS"}, "success"),
        ({"status": "success"}, "success"),
        ({"status": "Completed"}, "success"),
        ({"status": "FAILED"}, "failed"),
        ({"status": "failure", "http_status": 400}, "failed"),
        ({"status": "FAILED", "error_message": "HTTPSConnectionPool: Read timed out."}, "unknown"),
        ({"status": "FAILED", "error_message": "Timeout after 30s"}, "unknown"),
        ({"status": "FAILED", "http_status": 504}, "unknown"),
        ({"status": "FAILED", "http_status": 408}, "unknown"),
        ({"status": "FAILED", "response_summary": "time-out"}, "unknown"),
        ({"status": "PENDING"}, "unknown"),
        ({"status": "IN_PROGRESS"}, "unknown"),
        ({"status": ""}, "unknown"),
        ({"status": None}, "unknown"),
    ],
)
def test_a_failure_by_time_out_and_what_never_ended_is_unknown(old, row, status):
    old.job("a1", **row)
    old.run()
    job = Job.objects.get()
    assert (job.status, job.old_status) == (status, row["status"] or "")
    assert Attempt.objects.get().outcome == f"legacy_{status}"


def test_doubled_jobs_are_flagged(old):
    at = "2025-06-01T10:00:0{}"
    first = old.job("a1", "b2", created_at=at.format(0))
    doubles = [old.job("b2", "a1", created_at=at.format(2)), old.job("a1", "b2", created_at=at.format(1))]
    others = [
        old.job("a1", "b2", created_at=at.format(3)),
        old.job("a1", created_at=at.format(0)),
        old.job("a1", "b2", created_at=at.format(0), user_id="oscar"),
        old.job("a1", "b2", created_at=at.format(0), action_code=3),
    ]
    printed, _ = old.run()
    assert "Doubled: 2." in printed
    found = {str(job.job_id): str(job.doubles) for job in Job.objects.exclude(doubles=None)}
    assert found == dict.fromkeys(doubles, first)
    assert Job.objects.filter(job_id__in=[first, *others], doubles=None).count() == 5
    bodies = [json.loads(entry.body) for entry in AuditEntry.objects.all()]
    assert sum(body["doubles"] == first for body in bodies) == 2


def test_users_get_the_names_that_they_have_here(old):
    old.job("a1", user_id="jdoe")
    old.job("a2", user_id=17)
    old.job("a3", user_id=None)
    old.log(user_id="jdoe")
    old.run("--user-map", "jdoe=john", "--user-map", "17=ruth")
    assert sorted(Job.objects.values_list("user_id", flat=True)) == ["john", "ruth", "unknown"]
    assert Attempt.objects.filter(source="legacy_log").get().user_id == "john"
    assert '"user_id":"jdoe"' in AuditEntry.objects.filter(user_id="john").first().body


def test_no_token_comes_over(old):
    old.job(
        "a1",
        request_payload=json.dumps({"token": "hunter2", "headers": {"Authorization": "Bearer hunter2"}, "note": JWT}),
        response_summary=f"Bearer hunter2 {JWT}",
        error_message=f"sent {JWT}",
    )
    old.log(customer_ids=json.dumps([JWT]))
    old.log(error_message="Authorization: Bearer hunter2")
    _, reported = old.run()
    assert reported == ["audit_log row 1: a token stands where a customer id belongs; skipped"]
    kept = str([facts(model) for model in (Job, Attempt, AuditEntry)])
    assert "hunter2" not in kept
    assert JWT[:30] not in kept
    assert Job.objects.get().request_payload == {
        "token": HIDDEN,
        "headers": {"Authorization": HIDDEN},
        "note": HIDDEN,
    }


# -- Outside the promise ------------------------------------------------------------------------------------------


@pytest.fixture
def imported(old):
    old.job("a1", status="SUCCESS")
    old.job("a2", status="FAILED", error_message="<b>no")
    old.job("a3", status="FAILED", error_message="timed out")
    old.log()
    old.run()
    return {job.status: job for job in Job.objects.all()}


def test_imported_rows_stand_outside_of_every_count(imported, audrey):
    assert in_words(reconcile(OPERATIONS, None, full=True)) == {}
    with database_of("jobs").present() as jobs, database_of("audit").present() as audit:
        assert disagreements(jobs, audit) == []
    assert not Attempt.objects.filter(is_open=True).exists()
    page = text_of(signed_in(audrey).get("/admin/jobs/job/", {"time": "all"}))
    assert "0 attempts, 0 customers accepted" in page
    assert summarize(Attempt.objects.exclude(source__in=LEGACY_SOURCES), None, None).total == 0


def test_pages_say_whose_word_it_is(imported, olivia, audrey):
    for status, words in (
        ("success", "reported success"),
        ("failed", "reported a failure"),
        ("unknown", "did not know"),
    ):
        job = imported[status]
        page = text_of(signed_in(olivia).get(f"/jobs/{job.job_id}/"))
        assert f"from the old dashboard, where its status was {job.old_status}" in page
        attempt = text_of(signed_in(olivia).get(f"/attempts/{job.job_id}/"))
        assert words in attempt.partition("Facts")[0]
        assert "Check now" not in attempt
    assert "old dashboard" in text_of(signed_in(olivia).get("/jobs/"))
    customer = text_of(signed_in(audrey).get("/customers/a1/"))
    assert customer.count("Success, says the old dashboard") == 2
    listed = signed_in(olivia).get("/api/jobs/mine").json()["jobs"]
    assert [(one["status"], one["legacy"]) for one in listed] == [
        ("unknown", True),
        ("failed", True),
        ("success", True),
    ]
    records = signed_in(olivia).get("/api/audit/customer/a2").json()["records"]
    assert [(record["status"], record["job_id"]) for record in records] == [
        ("legacy_failed", str(imported["failed"].job_id))
    ]
