"""Entries and rows of the audit that somebody without a key wrote: no Job comes of them, and no verdict."""

import pytest
from django.db import connections

from audit.models import Attempt, AuditEntry
from audit.proof import append_only
from audit.tests.making import tampering
from jobs.models import Job
from setactions.proof.tests.forging import set_column, write
from setactions.resolving.tests.doubting import (
    LOST_AFTER,
    LOST_BEFORE,
    check,
    run,
    send,
    send_and_die,
)
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import kinds_of

pytestmark = pytest.mark.usefixtures("databases", "tms", "impatient")
OWED = "service: answer in the audit"


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
