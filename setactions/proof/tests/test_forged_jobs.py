"""Jobs that somebody without a key wrote: each is named, and none becomes the truth."""

import json
import uuid

import pytest

from audit.choices import Kind, Outcome
from audit.models import Attempt, AttemptCustomer
from audit.services import refuse_attempt
from audit.tests.making import make_request, record
from audit.tests.sealing import run as run_command
from jobs.models import Job
from jobs.tests.making import make_job
from setactions.proof.tests.forging import (
    archive_all,
    forge_job,
    problems,
    verify_jobs,
    write,
)
from setactions.recording import ForeignJobError
from setactions.resolving.tests.doubting import (
    LOST_AFTER,
    LOST_BEFORE,
    now,
    run,
    send,
    send_and_die,
)
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import kinds_of, text_of

pytestmark = pytest.mark.usefixtures("databases", "tms", "impatient")
OWED = "service: answer in the audit"


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
