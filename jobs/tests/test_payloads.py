"""What was sent is stored without the ids, which are those of the job's customers, and read whole."""

import json

import pytest
from django.core.management import call_command
from django.db import connections

from jobs.models import Job
from jobs.signatures import job_is_signed
from jobs.stored import read_job
from jobs.tests.making import make_job

pytestmark = pytest.mark.usefixtures("databases")

SENT = {"action": "PE-Enable"}
WHOLE = SENT | {"cids": ["b2", "a1"]}
OTHER = SENT | {"cids": ["a1", "b2"]}


def stored():
    """The payloads as the database holds them, in the order of the jobs."""
    with connections["jobs"].cursor() as cursor:
        cursor.execute("SELECT request_payload FROM jobs_job ORDER BY id")
        return [json.loads(text) for (text,) in cursor.fetchall()]


def store(job, payload):
    Job.objects.filter(pk=job.pk).update(stored_payload=payload)


def test_a_job_is_stored_without_its_ids_and_read_with_them():
    job = make_job()
    assert stored() == [SENT]
    assert job.request_payload == read_job(job).request_payload == WHOLE
    assert job_is_signed(read_job(job))


def test_one_that_was_stored_with_its_ids_is_the_same_job():
    job = make_job()
    store(job, WHOLE)
    assert Job.objects.get().request_payload == read_job(job).request_payload == WHOLE
    assert job_is_signed(read_job(job))


@pytest.mark.parametrize("payload", [OTHER, {}, {"action": "T-Enable"}, SENT | {"cids": None}, [], "PE-Enable"])
def test_another_payload_is_not_taken_for_what_was_signed(payload):
    job = make_job()
    store(job, payload)
    assert not job_is_signed(read_job(job))


def test_what_the_old_dashboard_kept_without_ids_gets_none():
    job = make_job()
    job.legacy = True
    assert job.request_payload == SENT


def test_migrations_take_the_ids_out_of_what_repeats_them_and_put_them_back():
    jobs = [make_job() for _ in range(3)]
    legacy = make_job()
    Job.objects.filter(pk=legacy.pk).update(legacy=True)
    store(jobs[1], OTHER)
    store(jobs[2], [])
    signed = [job_is_signed(read_job(job)) for job in jobs]
    try:
        call_command("migrate", "jobs", "0013", database="jobs", verbosity=0)
        assert stored() == [WHOLE, OTHER, [], SENT]
    finally:
        call_command("migrate", "jobs", database="jobs", verbosity=0)
    assert stored() == [SENT, OTHER, [], SENT]
    assert [job_is_signed(read_job(job)) for job in jobs] == signed == [True, False, False]
