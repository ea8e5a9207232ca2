"""Jobs that somebody without a key wrote or changed: each is named, and none becomes the truth."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connections

from audit import chain
from audit.actors import Actor
from audit.choices import Kind, Outcome
from audit.models import Attempt, AttemptCustomer, AuditEntry
from audit.proof import append_only
from audit.proof.closed_periods import archive
from audit.proof.verification import verify
from audit.services import refuse_attempt
from audit.tests.making import make_request, record, tampering
from audit.tests.sealing import run as run_command
from jobs.models import Job, JobCustomer
from jobs.stored import read_job
from jobs.tests.making import make_job
from setactions.proof.tests.forging import forge_job, problems, set_column, write
from setactions.recording import ForeignJobError
from setactions.resolving.tests.doubting import (
    LOST_AFTER,
    LOST_BEFORE,
    check,
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
OTHER_ID = "0" * 31 + "1"


def verify_jobs(*arguments):
    code, printed = run_command("audit_verify", "--jobs", "--json", *arguments)
    return code, json.loads(printed)


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


# -- Altered ------------------------------------------------------------------------------------------------------

COLUMNS = {
    "user_id": "oscar",
    "batch_id": OTHER_ID,
    "action_code": 3,
    "action_name": "T-Enable",
    "cluster_url": "https://other.example",
    "created_at": "2001-01-01 00:00:00",
    "request_payload": '{"action": "PE-Enable", "cids": ["a1"]}',
    "response_summary": '{"success": true, "more": 1}',
    "http_status": 201,
    "evidence": "read_back",
    "status": "failed",
    "customer_count": 3,
    "source": "api2",
    "legacy": True,
    "old_status": "done",
    "doubles": OTHER_ID,
    "mac": "0" * 64,
    "key_id": "0" * 16,
    "job_id": OTHER_ID,
}


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


# -- Forged -------------------------------------------------------------------------------------------------------


def refused(fetch):
    return refuse_attempt(*make_request(message="No."), wait_s=5)


FORGED = {
    "INTENT alone": lambda fetch: send_and_die(fetch, "service: answered, nothing written"),
    "UNKNOWN": lambda fetch: send(fetch, token=LOST_BEFORE),
    "REJECTED": lambda fetch: send(fetch, token="fault:not-ready"),
    "NOT_APPLIED": lambda fetch: record(send(fetch, token=LOST_BEFORE), Kind.NOT_APPLIED),
    "REFUSED": refused,
}


@pytest.mark.parametrize("evidence", ["reply", "read_back", "decided", "legacy"])
@pytest.mark.parametrize("begin", FORGED.values(), ids=FORGED)
def test_a_forged_job_is_no_evidence(fetch, olivia, begin, evidence):
    attempt = begin(fetch)
    before = kinds_of(attempt.attempt_id)
    forge_job(attempt, evidence=evidence, legacy=evidence == "legacy")
    report = run(None, full=True)
    assert report.altered == report.need_person == [attempt.attempt_id]
    assert kinds_of(attempt.attempt_id) == before
    assert now(attempt).outcome not in (Outcome.ACCEPTED, Outcome.APPLIED)
    assert verify_jobs()[0] == 3
    assert "accepted" not in str(fetch(key=attempt.attempt_id).json().get("outcome"))


def test_a_forged_job_of_an_attempt_in_doubt_is_named_by_every_run_with_2(fetch, olivia):
    attempt = send(fetch, token=LOST_AFTER)
    forge_job(attempt)
    code, printed = run_command("reconcile", "--json")
    assert (code, json.loads(printed)) == (
        2,
        {
            **{"closed": 0, "recorded": 0, "open": 0, "need_token": []},
            **{"need_person": [str(attempt.attempt_id)], "altered": [str(attempt.attempt_id)]},
        },
    )
    assert str(attempt.attempt_id) in text_of(signed_in(olivia).get("/jobs/"))  # among what is unfinished


def test_a_job_of_an_attempt_that_nobody_knows_is_never_recorded(fetch):
    job = make_job()
    assert run(None, full=True).altered == [job.job_id]
    assert "knows no such attempt" in problems()[job.job_id][0]
    assert not Attempt.objects.filter(attempt_id=job.job_id).exists()


@pytest.mark.parametrize("is_archived", [False, True])
def test_a_job_whose_attempt_has_a_row_but_no_entry_is_named(fetch, settings, tmp_path, is_archived):
    settings.AUDIT_SEAL_DIR = tmp_path / "seals"
    attempt = send(fetch)
    if is_archived:
        archive_all(settings.AUDIT_SEAL_DIR)
    cids = list(AttemptCustomer.objects.filter(attempt=attempt))
    attempt.pk, attempt.attempt_id = None, uuid.uuid4()
    attempt.save(force_insert=True)
    for customer in cids:
        AttemptCustomer(segment=customer.segment, attempt=attempt, cid=customer.cid).save(force_insert=True)
    forge_job(attempt)
    assert run(None, full=True).altered == [attempt.attempt_id]


def test_a_job_signed_for_one_attempt_is_no_evidence_for_another(fetch):
    send(fetch)
    attempt = send(fetch, token=LOST_AFTER)
    signed = Job.objects.get()
    forge_job(attempt, mac=signed.mac, key_id=signed.key_id)
    assert run(None).altered == [attempt.attempt_id]


def test_a_job_that_is_there_before_its_own_is_not_recorded(fetch, tms, unfinished, quick):
    attempt_id = uuid.uuid4()
    make_job(job_id=attempt_id)
    write("jobs", "UPDATE jobs_job SET mac = ''")
    assert fetch(key=attempt_id).status_code == 202
    assert kinds_of(attempt_id) == ["INTENT", "ACCEPTED"]
    assert isinstance(unfinished[0]._try_job_again(), ForeignJobError)
    assert run(None).altered == [attempt_id]


def test_an_answer_that_somebody_wrote_into_the_audit_makes_no_job(fetch):
    attempt = send(fetch, token=LOST_BEFORE)
    intent = AuditEntry.objects.filter(attempt_id=attempt.attempt_id).order_by("sequence").last()
    values = AuditEntry.objects.filter(pk=intent.pk).values().get()
    values |= {"sequence": 99, "kind": "ACCEPTED", "body": '{"data":{"success":true},"http_status":200}'}
    AuditEntry(**values).save()
    Attempt.objects.update(outcome="accepted", is_open=True, job_owed=True)
    assert (run(None).altered, Job.objects.count()) == ([attempt.attempt_id], 0)


def test_an_attempts_row_that_somebody_changed_makes_no_job(fetch):
    attempt = send(fetch, token=LOST_BEFORE)
    Attempt.objects.update(outcome="accepted", is_open=True, job_owed=True)
    assert (run(None).altered, Job.objects.count()) == ([attempt.attempt_id], 0)


ATTEMPTS_ROW = {"action_code": 1, "cluster_url": "http://127.0.0.1:2", "user_id": "oscar", "source": "form"}


@pytest.mark.parametrize("column", ATTEMPTS_ROW)
def test_an_attempt_in_doubt_whose_row_was_changed_is_not_judged(fetch, column):
    attempt = send(fetch, token=LOST_AFTER)
    set_column("audit", "audit_attempt", column, ATTEMPTS_ROW[column])
    report = run()
    assert (report.altered, report.closed, kinds_of(attempt.attempt_id)) == (
        [attempt.attempt_id],
        0,
        ["INTENT", "UNKNOWN"],
    )


def test_an_attempt_in_doubt_whose_customers_were_changed_is_not_judged(fetch):
    send(fetch, "a1")
    attempt = send(fetch, "c3", action="T-Enable", token=LOST_BEFORE)
    with tampering() as cursor:
        for entry in AuditEntry.objects.filter(attempt_id=attempt.attempt_id, kind="INTENT"):
            cursor.execute("SELECT 1")
            body = entry.body.replace("c3", "d4")
            cursor.execute("UPDATE audit_auditentry SET body = %s WHERE sequence = %s", [body, entry.sequence])
    write("audit", "UPDATE audit_attemptcustomer SET cid = 'd4' WHERE cid = 'c3'")
    assert run().altered == [attempt.attempt_id]
    assert kinds_of(attempt.attempt_id) == ["INTENT", "UNKNOWN"]


@pytest.mark.parametrize("token", ["fault:not-ready", None])
def test_an_attempt_that_is_called_unknown_again_gets_no_verdict(fetch, olivia, token):
    attempt = send(fetch, **({"token": token} if token else {}))
    if not token:
        Job.objects.all().delete()
    before = kinds_of(attempt.attempt_id)
    Attempt.objects.update(outcome="unknown", is_open=True, decided_at=None, job_owed=False)
    assert run().altered == [attempt.attempt_id]
    page = signed_in(olivia)
    check(page, attempt, page.get(f"/attempts/{attempt.attempt_id}/"), token="t")
    assert kinds_of(attempt.attempt_id) == before


def test_a_job_is_made_of_what_was_asked_for_whatever_the_attempts_row_says(fetch):
    attempt = send_and_die(fetch, OWED)
    Attempt.objects.update(user_id="oscar", cluster_url="https://other.example", action_code=5)
    run(None)
    job = Job.objects.get()
    assert (job.user_id, job.cluster_url, job.action_code) == ("olivia", attempt.cluster_url, 2)


@pytest.mark.parametrize("full", [False, True])
def test_reconcile_names_a_trigger_of_the_audit_that_does_not_guard_any_more(fetch, full):
    append_only.remove(connections["audit"])
    try:
        report = run(None, full=full)
    finally:
        append_only.install(connections["audit"])
    assert report.schema
    assert "is missing" in report.schema[0]
    assert run(None, full=full).schema == []


# -- Written before there were signatures -------------------------------------------------------------------------


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


# -- Archives, and keys -------------------------------------------------------------------------------------------


def archive_all(folder):
    last = AuditEntry.objects.order_by("sequence").last().sequence
    return archive(last, folder, Actor(user_id="ops"))


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


def test_the_job_time_of_an_older_job_lies_between_its_events(fetch):
    send(fetch)
    forget_signatures()
    Job.objects.update(created_at=datetime.now(UTC) + timedelta(days=1))
    assert "is not between" in next(iter(problems().values()))[0]
