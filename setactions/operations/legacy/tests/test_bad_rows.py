"""Rows, files and options of the import that make no sense: each is named, and only it is left out."""

import json
import sqlite3
import uuid
from contextlib import closing

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError

from audit.models import Attempt, AuditEntry
from audit.proof.verification import verify
from jobs.models import Job
from jobs.tests.making import make_job
from setactions.operations.legacy.tests.old_dashboard import JWT

pytestmark = [pytest.mark.usefixtures("databases", "tms"), pytest.mark.pages]


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
        ({"customer_ids": '["a1", "b2'}, "customer_ids is not JSON"),
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


def test_a_token_in_a_bad_row_is_not_shown(old):
    old.log(customer_ids=f'{{"token": "{JWT}"}}')
    old.log(customer_ids=f"{JWT * 3}")
    old.job("a1", created_at=JWT)
    assert "eyJ" not in "".join(old.run()[1])


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
    with pytest.raises(CommandError, match="There is no file"):
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
    old.job("a1", user_id="jdoe")
    with pytest.raises(CommandError, match="nobody here is called"):
        old.run("--user-map", f"jdoe={name}")
    assert not Job.objects.exists()
    User.objects.create_user(name)
    old.run("--user-map", f"jdoe={name}")  # an account from before the rule
