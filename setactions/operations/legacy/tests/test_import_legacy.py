"""The import of the old dashboard's files, made here as it made them."""

import json
import sqlite3
import uuid
from contextlib import closing
from datetime import UTC, datetime
from io import StringIO
from unittest import mock

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import DatabaseError

from audit.choices import LEGACY_SOURCES
from audit.models import Attempt, AuditEntry
from audit.proof.verification import verify
from audit.summary import summarize
from jobs.models import Job
from jobs.tests.making import make_job
from setactions.operations.backups.consistency import disagreements
from setactions.operations.backups.creation import database_of
from setactions.operations.legacy import importer
from setactions.operations.legacy.old_files import HIDDEN
from setactions.pages.tests.forging import problems, set_column, write
from setactions.resolving.reconcile import reconcile
from setactions.resolving.tests.doubting import OPERATIONS, in_words
from tmsdash.commands import os_actor_name
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.usefixtures("databases", "tms")

JOBS = (
    "CREATE TABLE jobs (job_id TEXT PRIMARY KEY, user_id TEXT, batch_id TEXT, action_code INTEGER, action_name TEXT, "
    "cluster_url TEXT, created_at TEXT, request_payload TEXT, response_summary TEXT, status TEXT{})"
)
NEWER = ", http_status INTEGER, error_message TEXT, updated_at TEXT"
CUSTOMERS = "CREATE TABLE job_customers (id INTEGER PRIMARY KEY, job_id TEXT, cid TEXT)"
LOG = (
    "CREATE TABLE audit_log (id INTEGER PRIMARY KEY, user_id TEXT, action_type TEXT, customer_ids TEXT, "
    "timestamp TEXT, ip_address TEXT, status TEXT, error_message TEXT, duration_ms INTEGER)"
)
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


class OldDashboard:
    """Its two files, to which rows can be added."""

    def __init__(self, folder, *, newer=True):
        self.jobs, self.audit = folder / "jobs.db", folder / "audit.db"
        self._run(self.jobs, JOBS.format(NEWER if newer else ""), CUSTOMERS)
        self._run(self.audit, LOG)

    def _run(self, file, *statements):
        with closing(sqlite3.connect(file)) as database, database:
            for statement in statements:
                database.execute(*statement) if isinstance(statement, tuple) else database.execute(statement)

    def _insert(self, file, table, values):
        marks = ", ".join("?" * len(values))
        self._run(file, (f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", list(values.values())))

    def job(self, *cids, **changes):
        """Add a job, olivia's PE-Enable, or as `changes` say; returns its id."""
        values = {
            "job_id": str(uuid.uuid4()),
            "user_id": "olivia",
            "batch_id": None,
            "action_code": 2,
            "action_name": "PE-Enable",
            "cluster_url": "https://evian3.example",
            "created_at": "2025-06-01T10:00:00",
            "request_payload": json.dumps({"action": "PE-Enable", "cids": cids}),
            "response_summary": '{"success": true}',
            "status": "SUCCESS",
        } | changes
        self._insert(self.jobs, "jobs", values)
        for cid in cids:
            self.customer(values["job_id"], cid)
        return values["job_id"]

    def customer(self, job_id, cid):
        self._insert(self.jobs, "job_customers", {"job_id": job_id, "cid": cid})

    def log(self, **changes):
        """Add a row of the audit log, or as `changes` say."""
        defaults = {
            "user_id": "olivia",
            "action_type": "PE-Enable",
            "customer_ids": '["a1", "b2"]',
            "timestamp": "2025-06-01 12:00:00.5",
            "ip_address": "10.0.0.7",
            "status": "success",
            "error_message": None,
            "duration_ms": 312,
        }
        self._insert(self.audit, "audit_log", defaults | changes)

    def run(self, *arguments, zone="Europe/Paris"):
        """Import both; returns what was printed, and what was reported."""
        printed, reported = StringIO(), StringIO()
        options = ["--jobs-db", str(self.jobs), "--audit-db", str(self.audit), "--time-zone", zone]
        call_command("import_legacy", *options, *arguments, stdout=printed, stderr=reported)
        return printed.getvalue(), reported.getvalue().splitlines()


@pytest.fixture
def old(tmp_path):
    return OldDashboard(tmp_path)


def facts(model):
    return list(model.objects.order_by("pk").values())


def test_every_job_and_customer_is_imported_and_marked(old):
    batch = uuid.uuid4()
    job_id = old.job("b2", "a1", batch_id=str(batch), http_status=200, updated_at="2025-06-01T10:00:09")
    printed, reported = old.run()
    assert reported == []
    assert printed.splitlines()[0] == (
        "Jobs: 1 rows with 2 customers, 1 imported, 0 there already, 0 bad and skipped. Doubled: 0."
    )
    job = Job.objects.get()
    assert (str(job.job_id), job.batch_id, job.user_id) == (job_id, batch, "olivia")
    assert (job.legacy, job.status, job.old_status, job.evidence) == (True, "success", "SUCCESS", "legacy")
    assert (job.action_code, job.action_name, job.http_status) == (2, "PE-Enable", 200)
    assert job.created_at == datetime(2025, 6, 1, 10, tzinfo=UTC)
    assert job.request_payload == {"action": "PE-Enable", "cids": ["b2", "a1"]}
    assert (job.response_summary, job.customer_count, job.source) == ({"success": True}, 2, "legacy")
    assert list(job.customers.values_list("cid", flat=True)) == ["b2", "a1"]
    attempt = Attempt.objects.get()
    assert (str(attempt.attempt_id), attempt.outcome, attempt.is_open) == (job_id, "legacy_success", False)
    assert (attempt.created_at, attempt.source) == (job.created_at, "legacy")
    entry = AuditEntry.objects.get()
    body = json.loads(entry.body)
    assert (entry.kind, entry.user_id, body["imported_by"]) == ("IMPORTED", "olivia", os_actor_name())
    assert (body["cids"], body["time"]) == (["b2", "a1"], "2025-06-01 10:00:00.000000")
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
    assert first.created_at == datetime(2025, 6, 1, 10, 0, 0, 500_000, tzinfo=UTC)  # summer in Paris
    assert second.created_at == datetime(2025, 12, 1, 11, tzinfo=UTC)
    assert third.created_at == datetime(2025, 12, 1, 7, tzinfo=UTC)
    assert (first.outcome, first.ip_address, first.action_code) == ("legacy_success", "10.0.0.7", 2)
    assert (second.outcome, second.error_message) == ("legacy_failed", "CID unknown")
    assert (second.action_name, second.action_code, third.customer_count) == ("Login", None, 0)
    assert {attempt.source for attempt in (first, second, third)} == {"legacy_log"}
    assert [attempt.has_job for attempt in (first, second, third)] == [False] * 3
    assert json.loads(AuditEntry.objects.first().body)["old"]["duration_ms"] == 312
    assert verify().findings == []
    assert not Job.objects.exists()


def test_a_second_run_adds_nothing_and_a_later_one_what_is_new(old):
    old.job("a1")
    old.log()
    old.run()
    before = [facts(model) for model in (Job, Attempt, AuditEntry)]
    printed, reported = old.run()
    assert "1 rows with 1 customers, 0 imported, 1 there already" in printed
    assert "Audit log: 1 rows with 2 customers, 0 imported, 1 there already" in printed
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


# -- Rows that make no sense --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"job_id": ""}, "it has no job_id"),
        ({"job_id": None}, "it has no job_id"),
        ({"created_at": "yesterday"}, "'yesterday' is no time"),
        ({"created_at": None}, "'None' is no time"),
        ({"created_at": "0001-01-01T00:00:00+23:00"}, "is no time"),
        ({"action_code": None, "action_name": "Reboot"}, "'None', 'Reboot' is no action"),
    ],
)
def test_a_bad_job_is_reported_with_its_number_and_skipped(old, row, problem):
    old.job("a1")
    old.job("a2", **row)
    old.job("a3")
    printed, reported = old.run()
    [line] = [line for line in reported if line.startswith("jobs row 2: ")]
    assert problem in line
    assert line.endswith("; skipped")
    assert "3 rows with 2 customers, 2 imported, 0 there already, 1 bad and skipped" in printed
    assert Job.objects.count() == 2


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"timestamp": "1 June"}, "'1 June' is no time"),
        ({"timestamp": None}, "is no time"),
        ({"customer_ids": "a1, b2"}, "customer_ids is not JSON"),
        ({"customer_ids": '{"a": 1}'}, "customer_ids is no list"),
        ({"customer_ids": '["a1", null]'}, "'None' is no customer id"),
        ({"customer_ids": '[""]'}, "'' is no customer id"),
        ({"customer_ids": json.dumps(["x" * 129])}, "is no customer id"),
    ],
)
def test_a_bad_row_of_the_log_is_reported_with_its_number_and_skipped(old, row, problem):
    old.log(**row)
    old.log()
    printed, [reported] = old.run()
    assert reported.startswith("audit_log row 1: ")
    assert problem in reported
    assert "2 rows with 2 customers, 1 imported, 0 there already, 1 bad and skipped" in printed


def test_an_action_without_a_code_that_is_known_goes_by_its_name(old):
    old.job("a1", action_code=9, action_name="t-enable")
    assert old.run()[1] == []
    assert (Job.objects.get().action_code, Job.objects.get().action_name) == (3, "T-Enable")


def test_customers_that_are_none_or_of_no_job_are_reported(old):
    job_id = old.job("a1")
    for cid in ("", None, "x" * 129, b"\xff", "a\0b"):
        old.customer(job_id, cid)
    old.customer("nowhere", "z9")
    old.customer(None, "z9")
    old.customer(job_id, "a1")
    old.customer(job_id, " b2 ")
    _, reported = old.run()
    numbers = [int(line.split()[2].rstrip(":")) for line in reported]
    assert numbers == [2, 3, 4, 5, 6, 7, 8]
    assert "there is no job with its job_id" in reported[-1]
    assert list(Job.objects.get().customers.values_list("cid", flat=True)) == ["a1", "b2"]


def test_ids_that_are_no_uuid_or_another_jobs_are_told_apart(old):
    ours = make_job()
    old.job("a1", job_id=str(ours.job_id))
    old.job("a2", job_id="JOB-17")
    same = uuid.uuid4()
    old.job("a3", job_id=str(same))
    old.job("a4", job_id=same.hex)
    _, reported = old.run()
    assert reported == [
        "jobs row 4: its job_id is there twice; skipped",
        "jobs row 1: a job of this dashboard has its id; skipped",
    ]
    assert Job.objects.filter(legacy=True).count() == 2
    assert not Attempt.objects.filter(attempt_id=ours.job_id).exists()
    assert '"job_id":"JOB-17"' in "".join(AuditEntry.objects.values_list("body", flat=True))
    before = Job.objects.count()
    old.run()
    assert Job.objects.count() == before


@pytest.mark.parametrize(
    "payload", ["", "{", "[1, NaN, Infinity]", '"\\ud800"', '{"a": "\\u0000"}', "[" * 100_000, "\udcff"]
)
def test_what_is_no_json_is_kept_as_text(old, payload):
    old.job("a1", request_payload=payload.encode(errors="surrogateescape").decode(errors="replace"))
    _, reported = old.run()
    assert reported == []
    Job.objects.get().refresh_from_db()
    assert verify().findings == []


# -- Files and options that make no sense -------------------------------------------------------------------------


def test_files_that_are_none_of_its_are_refused_before_anything_is_imported(old, tmp_path):
    old.job("a1")
    for broken in (b"", b"no database"):
        old.audit.write_bytes(broken)
        with pytest.raises(CommandError, match="audit.db"):
            old.run()
    old.audit.unlink()
    with pytest.raises(CommandError, match="is no file"):
        old.run()
    assert not Job.objects.exists()


def test_a_file_without_a_column_says_which(old):
    with closing(sqlite3.connect(old.jobs)) as database:
        database.execute("ALTER TABLE jobs DROP COLUMN cluster_url")
    with pytest.raises(CommandError, match="jobs lacks cluster_url"):
        old.run()


@pytest.mark.parametrize("zone", ["Paris", "", "Europe", "../etc/passwd", "\0"])
def test_what_is_no_time_zone_is_refused(old, zone):
    with pytest.raises(CommandError, match="there is no such time zone"):
        old.run(zone=zone)


@pytest.mark.parametrize("pairs", [["jdoe"], ["=john"], ["jdoe="], ["jdoe=john", "jdoe=ruth"]])
def test_what_is_no_pair_of_names_is_refused(old, pairs):
    with pytest.raises(CommandError, match="as old=new"):
        old.run(*(part for pair in pairs for part in ("--user-map", pair)))


@pytest.mark.parametrize("name", ["system", "Nobody", "оlivia", "jo hn"])
def test_jobs_are_given_to_nobody_who_could_be_mistaken(old, name):
    with pytest.raises(CommandError, match="nobody here is called"):
        old.run("--user-map", f"jdoe={name}")
    assert not Job.objects.exists()
    User.objects.create_user(name)
    old.run("--user-map", f"jdoe={name}")  # an account from before the rule


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
    for status, words in (("success", "succeeded"), ("failed", "failed"), ("unknown", "did not know")):
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
