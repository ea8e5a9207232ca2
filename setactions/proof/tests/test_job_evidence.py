"""Jobs that somebody without a key changed: each is named, and none becomes the truth."""

import json
import uuid

import pytest
from django.db import connections

from audit import chain
from audit.choices import Kind
from audit.models import AuditEntry
from audit.proof.verification import verify
from audit.tests.making import record
from jobs.models import Job, JobCustomer
from setactions.proof.tests.forging import (
    COLUMNS,
    OTHER_ID,
    archive_all,
    problems,
    set_column,
    verify_jobs,
    write,
)
from setactions.resolving.tests.doubting import (
    LOST_AFTER,
    in_words,
    now,
    run,
    send,
    send_and_die,
)
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import kinds_of, text_of

pytestmark = pytest.mark.usefixtures("databases", "tms", "impatient")
OWED = "service: answer in the audit"


# -- What is as it was written ------------------------------------------------------------------------------------


def test_jobs_of_every_origin_fit_the_audit(fetch, tms):
    send(fetch, "z9", "a1", action="t-ENABLE")
    send(fetch, "b", token="fault:created")
    send_and_die(fetch, OWED, "c")
    send(fetch, "d", token=LOST_AFTER)
    send(fetch, "e", token="fault:not-ready")
    tms.script('reply:200:{"success": true, "a": 1e22, "b": 1.5e-7, "c": 100.0, "d": [1e2, -0.0]}')
    run()
    assert problems() == {}
    code, said = verify_jobs()
    assert (code, said["whole"], said["jobs"], said["job_customers"], said["unsigned_jobs"]) == (0, True, 4, 5, 0)


def test_recorded_carries_the_digest_of_the_job(fetch):
    attempt = send(fetch)
    body = json.loads(AuditEntry.objects.get(attempt_id=attempt.attempt_id, kind="RECORDED").body)
    assert set(body) == {"job_id", "job_digest", "job_created_at"}
    assert body["job_created_at"] == chain.stored_time(Job.objects.get().created_at)


def test_a_lost_job_is_made_again_exactly_as_it_was(fetch):
    send(fetch, "z9", "a1")
    before = Job.objects.values().get()
    JobCustomer.objects.all().delete()
    Job.objects.all().delete()
    assert [len(said) for said in problems().values()] == [1]
    assert verify_jobs()[0] == 3
    assert in_words(run(None, full=True)) == {"recorded": 1}
    assert Job.objects.values().get() | {"id": 0} == before | {"id": 0}
    assert problems() == {}


def test_numbers_of_an_answer_fit_as_each_engine_gives_them_back(fetch):
    answer = {"success": True, "big": 1e22, "odd": 1e23, "small": 1.5e-7, "whole": 100.0, "list": [-0.0, 1e300]}
    attempt = send(fetch, token=LOST_AFTER)
    record(attempt, Kind.ACCEPTED, data=answer, http_status=200)
    run(None)
    assert Job.objects.get().response_summary["small"] == 1.5e-7
    assert problems() == {}


def test_every_column_of_a_job_is_among_those_that_are_altered_here():
    assert {field.column for field in Job._meta.fields} == {"id", *COLUMNS}


@pytest.mark.parametrize("column", COLUMNS)
def test_an_altered_column_is_named_and_not_taken(fetch, column):
    attempt = send(fetch)
    set_column("jobs", "jobs_job", column, COLUMNS[column])
    assert problems()
    report = run(None, full=True)
    assert attempt.attempt_id in report.altered or column == "job_id"
    assert report.need_person == report.altered != []
    assert verify_jobs()[0] == 3


@pytest.mark.parametrize("column", sorted(COLUMNS.keys() - {"mac", "key_id"}))
@pytest.mark.parametrize("blanked", [False, True], ids=["signature left", "signature blanked"])
def test_an_altered_job_is_not_recorded(fetch, column, blanked):
    attempt = send_and_die(fetch, "service: job committed")
    set_column("jobs", "jobs_job", column, COLUMNS[column])
    if blanked:
        write("jobs", "UPDATE jobs_job SET mac = '', key_id = ''")
    if column == "job_id":  # the attempt gets a Job of its own again, and the other is nobody's
        assert (run(None).recorded, [*problems()]) == (1, [uuid.UUID(OTHER_ID)])
        return
    report = run(None)
    assert (report.recorded, report.altered, report.need_person) == (0, [attempt.attempt_id], [attempt.attempt_id])
    assert kinds_of(attempt.attempt_id) == ["INTENT", "ACCEPTED"]
    assert now(attempt).job_owed


@pytest.mark.parametrize("values", [("", ""), ("", None), ("0" * 64, None)], ids=["blanked", "mac blanked", "guessed"])
def test_a_signature_that_was_removed_or_guessed_is_named(fetch, values):
    send(fetch)
    for column, value in zip(("mac", "key_id"), values, strict=True):
        if value is not None:
            set_column("jobs", "jobs_job", column, value)
    assert problems()


CUSTOMERS = {
    "one missing": "DELETE FROM jobs_jobcustomer WHERE cid = 'b2'",
    "all missing": "DELETE FROM jobs_jobcustomer",
    "one renamed": "UPDATE jobs_jobcustomer SET cid = 'b3' WHERE cid = 'b2'",
    "one moved": "UPDATE jobs_jobcustomer SET id = id + 7 - position, position = 7 WHERE cid = 'b2'",
    "one added": "INSERT INTO jobs_jobcustomer (id, job_id, cid, position) "
    "SELECT id * 1048576 + 2, id, 'c3', 2 FROM jobs_job",
    "another order": "UPDATE jobs_jobcustomer SET id = id + 5 - 2 * position, position = 5 - position",
}


@pytest.mark.parametrize("statement", CUSTOMERS.values(), ids=CUSTOMERS)
def test_altered_customers_are_named(fetch, statement):
    attempt = send(fetch)
    write("jobs", statement)
    assert [*problems()] == [attempt.attempt_id]


@pytest.mark.sqlite
def test_customers_of_no_job_are_named(fetch):
    send(fetch)
    with connections["jobs"].constraint_checks_disabled():
        write("jobs", "INSERT INTO jobs_jobcustomer (id, job_id, cid, position) VALUES (999 * 1048576, 999, 'x', 0)")
        assert verify_jobs()[1]["findings"][0]["problem"] == "1 rows of customers belong to no Job."
        write("jobs", "DELETE FROM jobs_jobcustomer WHERE job_id = 999")


def test_a_job_page_warns_of_a_job_that_was_changed(fetch, olivia):
    attempt = send(fetch)
    address = f"/jobs/{attempt.attempt_id}/"
    assert "was changed" not in text_of(signed_in(olivia).get(address))
    write("jobs", "UPDATE jobs_jobcustomer SET cid = 'b3' WHERE cid = 'b2'")
    assert "This record was changed after it was written" in text_of(signed_in(olivia).get(address))


SPOILT = ["no JSON", "[" * 100_000, '{"a":' * 900 + "1" + "}" * 900, '{"a": NaN}', '{"a": 1e999}', "1" * 5000, "\x00"]


@pytest.mark.sqlite
@pytest.mark.parametrize("text", SPOILT, ids=range(len(SPOILT)))
def test_what_is_no_json_of_ours_stops_nobody(fetch, text):
    attempt, other = send(fetch), send_and_die(fetch, "service: job committed", "c3")
    with connections["jobs"].cursor() as cursor:
        cursor.execute("PRAGMA ignore_check_constraints = ON")
        job_id = attempt.attempt_id.hex
        cursor.execute("UPDATE jobs_job SET response_summary = %s WHERE job_id = %s", [text, job_id])
        cursor.execute("PRAGMA ignore_check_constraints = OFF")
    assert run(None).closed == 1
    assert not now(other).is_open
    assert [*problems()] == [attempt.attempt_id]


@pytest.mark.sqlite
@pytest.mark.parametrize("time", ["x'ff'", "'2026-13-45 00:00:00'", "12"])
def test_a_time_of_a_job_that_is_none_is_named(fetch, time):
    send(fetch)
    with connections["jobs"].cursor() as cursor:
        cursor.execute(f"UPDATE jobs_job SET created_at = {time}")
    code, found = verify_jobs()
    assert (code, found["first_bad"][:4]) == (3, "data" if time == "x'ff'" else "job ")


@pytest.mark.parametrize("at_hand", [True, False])
def test_jobs_of_archived_attempts_are_compared_with_the_archive_or_the_row(fetch, settings, tmp_path, at_hand):
    settings.AUDIT_SEAL_DIR = tmp_path / "seals"
    send(fetch)
    archive_all(settings.AUDIT_SEAL_DIR if at_hand else tmp_path / "elsewhere")
    assert problems() == {}
    write("jobs", "UPDATE jobs_jobcustomer SET cid = 'b3' WHERE cid = 'b2'")
    write("jobs", "UPDATE jobs_job SET mac = '', key_id = ''")
    assert problems()


def test_jobs_fit_after_the_key_was_changed(fetch, settings):
    send(fetch)
    settings.AUDIT_OLD_KEYS = [settings.AUDIT_KEY]
    settings.AUDIT_KEY = "another key that is long enough 1234567"
    send(fetch, "c3")
    assert problems() == {}
    assert verify().is_whole
