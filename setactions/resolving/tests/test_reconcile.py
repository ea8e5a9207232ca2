"""`reconcile` without a token: what TMS is known to have accepted gets its Job, from the audit alone."""

import json
import logging
import uuid

import pytest
from django.apps import apps
from django.db import OperationalError
from django.utils import timezone

from audit import services
from audit.choices import Kind, Outcome
from audit.digests import canonical
from audit.models import Attempt, AuditEntry
from audit.tests.making import make_attempt, record, sign_again, tampering
from jobs.models import Job, JobCustomer
from jobs.tests.making import make_job
from setactions.payload import BatchPart
from setactions.resolving.tests.doubting import (
    LOST_AFTER,
    LOST_BEFORE,
    in_words,
    now,
    reads,
    run,
    send,
    send_and_die,
)
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import kinds_of, text_of

pytestmark = pytest.mark.usefixtures("databases", "tms", "impatient")
OWED = "service: answer in the audit"  # where a server dies that leaves an accepted action without its job


@pytest.fixture
def audit_fails_after_reply(monkeypatch):
    """The audit takes no event of a Set Action after its INTENT until this is called."""

    def fail(*args, **kwargs):
        raise OperationalError("the disk is full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services, "record_events", fail)
        yield patch.undo


def everything():
    """Every row of jobs and audit."""
    models = [model for name in ("jobs", "audit") for model in apps.get_app_config(name).get_models()]
    return {model.__name__: list(model.objects.order_by("pk").values()) for model in models}


def job_of(attempt):
    """A job with its customers, without what differs from attempt to attempt."""
    values = Job.objects.filter(job_id=attempt.attempt_id).values().get()
    varying = [values.pop(name) for name in ("id", "job_id", "created_at")]
    del values["mac"]
    customers = JobCustomer.objects.filter(job__job_id=attempt.attempt_id).order_by("position")
    return values | {"customers": list(customers.values_list("position", "cid"))}, varying


def set_body(attempt, kind, text):
    """Spoil an event, as nothing of ours does."""
    with tampering() as cursor:
        entry = AuditEntry.objects.get(attempt_id=attempt.attempt_id, kind=kind)
        cursor.execute("UPDATE audit_auditentry SET body = %s WHERE sequence = %s", [text, entry.pk])


# -- Jobs that are owed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [TOKEN, "fault:created", "fault:extra-accepted"])
def test_an_owed_job_becomes_what_it_would_have_become_at_once(fetch, token):
    cids = ["z9", "a1", "Z9", "m-5"]
    live = send(fetch, *cids, action="t-ENABLE", token=token)
    owed = send_and_die(fetch, OWED, *cids, action="t-ENABLE", token=token)
    assert not Job.objects.filter(job_id=owed.attempt_id).exists()
    assert in_words(run(None)) == {"closed": 1, "recorded": 1}
    (expected, _), (found, [_, job_id, created_at]) = job_of(live), job_of(owed)
    assert found == expected
    assert found["evidence"] == "reply"
    assert [cid for _, cid in found["customers"]] == cids
    assert (job_id, created_at) == (owed.attempt_id, owed.decided_at)
    assert kinds_of(owed.attempt_id) == kinds_of(live.attempt_id) == ["INTENT", "ACCEPTED", "RECORDED"]
    assert (now(owed).is_open, now(owed).job_owed, now(owed).has_job) == (False, False, True)


def test_an_owed_job_keeps_its_batch(fetch, carry_out):
    batch_id, owed = uuid.uuid4(), send_and_die(fetch, OWED, "c3")
    opening = json.loads(AuditEntry.objects.get(attempt_id=owed.attempt_id, kind="INTENT").body)
    set_body(owed, "INTENT", canonical(opening | {"batch_id": str(batch_id)}))
    sign_again(owed, "INTENT")
    live = carry_out(batch=BatchPart(batch_id=batch_id, batch_created_at=timezone.now(), chunk=1))
    run(None)
    assert set(Job.objects.values_list("job_id", "batch_id")) == {
        (live.attempt_id, batch_id),
        (owed.attempt_id, batch_id),
    }


def test_an_owed_job_is_recorded_however_young_its_attempt_is(fetch, settings, olivia):
    settings.TMS_OPEN_AFTER_S = 86_400
    owed = send_and_die(fetch, OWED)
    assert "accepted; its job is being recorded" in text_of(signed_in(olivia).get("/jobs/"))
    assert in_words(run(None)) == {"closed": 1, "recorded": 1}
    page = text_of(signed_in(olivia).get("/jobs/"))
    assert str(owed.attempt_id) in page
    assert "Unfinished" not in page


@pytest.mark.parametrize(
    ("kind", "evidence", "words"),
    [(Kind.APPLIED, "read_back", "confirmed by reading back"), (Kind.DECIDED, "decided", "decided by a person")],
)
def test_a_job_owed_to_a_reading_or_a_person_says_so(fetch, olivia, kind, evidence, words):
    attempt = send(fetch, token=LOST_AFTER)
    record(attempt, kind, message="It shows.", http_status=None)
    assert in_words(run(None)) == {"closed": 1, "recorded": 1}
    job = Job.objects.get()
    assert (job.evidence, job.http_status, job.response_summary["message"]) == (evidence, None, "It shows.")
    assert words in text_of(signed_in(olivia).get(f"/jobs/{attempt.attempt_id}/"))
    assert fetch(key=attempt.attempt_id).json()["evidence"] == evidence


@pytest.mark.parametrize("token", [None, TOKEN])
def test_a_job_that_the_audit_missed_closes_its_attempt(fetch, tms, audit_fails_after_reply, token):
    answer = fetch(token="fault:created")
    assert answer.json()["outcome"] == "accepted"
    audit_fails_after_reply()
    attempt = Attempt.objects.get()
    assert kinds_of(attempt.attempt_id) == ["INTENT"]
    jobs = list(Job.objects.values())
    assert in_words(run(token)) == {"closed": 1, "recorded": 1}
    assert kinds_of(attempt.attempt_id) == ["INTENT", "ACCEPTED", "RECORDED"]
    assert (now(attempt).outcome, now(attempt).http_status, now(attempt).is_open) == (Outcome.ACCEPTED, 201, False)
    assert list(Job.objects.values()) == jobs
    assert reads(tms) == []
    again = fetch(key=attempt.attempt_id).json()
    assert (again["outcome"], again["data"], again["httpStatus"]) == ("accepted", answer.json()["data"], 201)


def test_a_job_of_which_the_audit_missed_only_that_it_is_recorded_closes_its_attempt(fetch, settings):
    settings.TMS_OPEN_AFTER_S = 86_400
    attempt = send_and_die(fetch, "service: job committed")
    assert kinds_of(attempt.attempt_id) == ["INTENT", "ACCEPTED"]
    assert run(None).closed == 1
    assert kinds_of(attempt.attempt_id) == ["INTENT", "ACCEPTED", "RECORDED"]
    assert Job.objects.count() == 1


@pytest.mark.parametrize(
    ("kind", "evidence"), [(Kind.ACCEPTED, "reply"), (Kind.APPLIED, "read_back"), (Kind.DECIDED, "decided")]
)
def test_a_job_tells_an_audit_that_was_restored_from_before_what_it_rests_on(fetch, kind, evidence):
    attempt = send(fetch, token=LOST_AFTER)
    before = Attempt.objects.filter(pk=attempt.pk).values().get()
    record(attempt, kind, message="It shows.", data={"success": True}, http_status=None)
    run(None)
    jobs = list(Job.objects.values())
    with tampering() as cursor:
        cursor.execute("DELETE FROM audit_auditentry WHERE kind NOT IN ('INTENT', 'UNKNOWN')")
    Attempt.objects.update(**before)
    assert in_words(run(None)) == {"closed": 1, "recorded": 1}
    assert kinds_of(attempt.attempt_id) == ["INTENT", "UNKNOWN", kind, "RECORDED"]
    assert list(Job.objects.values()) == jobs
    assert jobs[0]["evidence"] == evidence


def spoil_with_repeats(attempt):
    set_body(attempt, "INTENT", json.dumps({"cids": ["x", "x"], "action_sent": "PE-Enable", "batch_id": None}))


POISONS = {
    "ids that break a constraint": spoil_with_repeats,
    "a batch id that is none": lambda a: set_body(
        a, "INTENT", json.dumps({"cids": ["x"], "action_sent": "PE-Enable", "batch_id": "no uuid"})
    ),
    "no ids": lambda a: set_body(a, "INTENT", "{}"),
    "no JSON": lambda a: set_body(a, "ACCEPTED", "cut sho"),
}


@pytest.mark.parametrize("with_key", [True, False], ids=["a fault of ours", "somebody without the key"])
@pytest.mark.parametrize("spoil", POISONS.values(), ids=POISONS)
def test_one_attempt_that_cannot_be_recorded_does_not_stop_the_others(tms, spoil, with_key):
    body = {"action_sent": "PE-Enable", "batch_id": None, "repeated": 0, "send_again": False}
    count = 250 if spoil is spoil_with_repeats and with_key else 3
    owed = [
        make_attempt(Kind.ACCEPTED, cids=(f"a{number}", "b"), cluster_url=tms.url, body=body) for number in range(count)
    ]
    spoiled, others = owed[count // 2], {one.attempt_id for one in owed} - {owed[count // 2].attempt_id}
    spoil(spoiled)
    if with_key:
        sign_again(spoiled, "INTENT")
        sign_again(spoiled, "ACCEPTED")
    report = run(None)
    assert (report.closed, report.recorded) == (count - 1, count - 1)
    assert (report.not_recorded, report.altered)[:: 1 if with_key else -1] == ([spoiled.attempt_id], [])
    assert report.need_person == report.altered
    assert str(spoiled.attempt_id) in report.problems[0]
    assert set(Job.objects.values_list("job_id", flat=True)) == others
    assert JobCustomer.objects.count() == 2 * len(others)
    assert list(Attempt.objects.filter(is_open=True)) == [spoiled]
    assert (run(None).recorded, Job.objects.count()) == (0, len(others))


# -- Again, and in which order of trust ---------------------------------------------------------------------------


def test_a_second_run_changes_nothing(fetch, audit_fails_after_reply):
    send(fetch, "a1")
    audit_fails_after_reply()
    send_and_die(fetch, OWED, "b1")
    for number, token in enumerate([LOST_AFTER, LOST_BEFORE, "fault:not-ready", "fault:http:404"]):
        send(fetch, f"c{number}", token=token)
    first = run()
    assert (first.closed, first.recorded) == (4, 3)
    before = everything()
    for options in ({}, {"full": True}):
        assert in_words(run(**options)) == {}
        assert everything() == before


@pytest.mark.parametrize("kind", [Kind.NOT_APPLIED, Kind.DECIDED])
def test_an_acceptance_that_comes_late_gets_its_job_whatever_was_read_or_decided(fetch, tms, kind):
    attempt = send(fetch, token=LOST_BEFORE)
    record(attempt, kind, ruling="not_applied", message="Nothing shows it.")
    assert not now(attempt).is_open
    record(attempt, Kind.ACCEPTED, data={"success": True})
    assert in_words(run(None)) == {"closed": 1, "recorded": 1}
    assert (Job.objects.get().evidence, now(attempt).outcome) == ("reply", Outcome.ACCEPTED)


@pytest.mark.parametrize("kind", [Kind.ACCEPTED, Kind.REJECTED, Kind.NOT_SENT])
def test_a_reading_never_outranks_what_tms_answered(fetch, kind):
    attempt = send_and_die(fetch, "service: answered, nothing written")
    record(attempt, kind)
    run()
    assert now(attempt).outcome == kind.lower()
    assert not {"APPLIED", "NOT_APPLIED"} & set(kinds_of(attempt.attempt_id))
    assert Job.objects.count() == (kind == Kind.ACCEPTED)


# -- Everything, after a restore ----------------------------------------------------------------------------------


def test_an_emptied_jobs_database_is_filled_again_by_a_full_run_only(fetch, caplog):
    kept = [send(fetch, f"a{number}", "b", action="t-enable") for number in range(3)]
    read_back = send(fetch, "c", token=LOST_AFTER)
    send(fetch, "d", token="fault:not-ready")
    send(fetch, "e", token=LOST_BEFORE)
    run()
    before = [job_of(attempt)[0] for attempt in (*kept, read_back)]
    JobCustomer.objects.all().delete()
    Job.objects.all().delete()
    assert in_words(run()) == {}
    assert in_words(run(None, full=True)) == {"recorded": 4}
    assert [job_of(attempt)[0] for attempt in (*kept, read_back)] == before
    assert Job.objects.count() == 4
    assert caplog.text.count("is recorded in the audit, but missing") == 4
    assert not Attempt.objects.filter(is_open=True).exists()


def test_a_full_run_leaves_a_job_that_nobody_asked_for_to_a_person(fetch, settings, caplog):
    settings.TMS_OPEN_AFTER_S = 86_400
    send(fetch, "a")
    alone, rejected = make_job(), send(fetch, "b", token="fault:not-ready")
    make_job(job_id=rejected.attempt_id)
    send_and_die(fetch, "service: job committed", "c")
    assert run(None).need_person == []
    before = everything()
    report = run(None, full=True)
    assert set(report.need_person) == {alone.job_id, rejected.attempt_id} == set(report.altered)
    assert everything() == before
    named = [record for record in caplog.records if f"{alone.job_id} is not as it was written" in record.message]
    assert [record.levelno for record in named] == [logging.WARNING]


def test_a_full_run_takes_a_job_for_what_tms_answered_where_the_audit_knows_a_reading_only(
    fetch, audit_fails_after_reply
):
    fetch()
    audit_fails_after_reply()
    attempt = Attempt.objects.get()
    record(attempt, Kind.NOT_APPLIED, message="Nothing shows it.")
    assert run(None, full=True).need_person == []
    assert (now(attempt).outcome, now(attempt).is_open) == (Outcome.ACCEPTED, False)


def test_each_run_logs_what_it_did_and_what_is_left(fetch, caplog):
    caplog.set_level(logging.INFO)
    send_and_die(fetch, OWED, "a")
    send(fetch, "b", token=LOST_BEFORE)
    run(None)
    assert (
        "[RECONCILE] closed=1, recorded=1, need_token=1, need_person=0, open=0, open_attempts=1, oldest_open_s=0"
        in caplog.text
    )
