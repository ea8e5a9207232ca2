"""Accepted, Partly confirmed, Confirmed: the words of the lists, with the time of the reading."""

from datetime import UTC, datetime

import pytest

from jobs.models import Job, JobConfirmation
from jobs.tests.making import make_job
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.usefixtures("databases")

READ_AT = datetime(2026, 11, 29, 14, 3, tzinfo=UTC)


def confirmed(job, count):
    JobConfirmation.objects.create(
        job_id=job.job_id, customer_count=job.customer_count, confirmed=count, read_at=READ_AT
    )


@pytest.fixture
def jobs():
    """One job that was only accepted, one partly confirmed, one confirmed."""
    made = [make_job(cids=("a1", "b2", "c3")) for _ in range(3)]
    confirmed(made[1], 2)
    confirmed(made[2], 3)
    return made


@pytest.mark.parametrize("path", ["/jobs/", "/jobs/?whose=all", "/admin/jobs/job/"])
def test_lists_say_what_is_known_of_each_job_and_when_it_was_read(adam, olivia, jobs, path):
    text = text_of(signed_in(olivia if path == "/jobs/" else adam).get(path))
    for words in ("Accepted", "Partly confirmed 2 of 3, read 2026-11-29 14:03:00 UTC", "Confirmed 3 of 3, read"):
        assert words in text
    assert "Success" not in text


def test_the_admins_page_of_a_job_says_the_same(adam, jobs):
    text = text_of(signed_in(adam).get(f"/admin/jobs/job/{jobs[1].pk}/change/"))
    assert "Partly confirmed 2 of 3, read" in text


def test_the_status_that_scripts_read_stays_what_it_was(olivia, jobs):
    listed = signed_in(olivia).get("/api/jobs/mine").json()["jobs"]
    assert {job["status"] for job in listed} == {"success"}


def test_a_job_of_the_old_dashboard_keeps_the_word_that_was_its_own(olivia):
    make_job()
    Job.objects.update(legacy=True)
    text = text_of(signed_in(olivia).get("/jobs/"))
    assert "Success old dashboard" in text
    assert "Accepted" not in text
