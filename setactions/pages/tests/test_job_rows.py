"""Whatever somebody wrote into the table of jobs, the list of User Jobs shows it as text."""

import pytest

from jobs.tests.making import make_job
from setactions.proof.tests.forging import set_column
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.usefixtures("databases")

HOSTILE = "\"'></td><script>alert(1)</script>{user}{0}\u202e&amp;"
LENGTHS = {"action_name": 32, "status": 16, "cluster_url": 300, "user_id": 150}  # as PostgreSQL keeps them


def test_what_somebody_wrote_into_a_job_is_shown_as_text(adam):
    make_job()
    for column, length in LENGTHS.items():
        set_column("jobs", "jobs_job", column, HOSTILE[:length])
    answer = signed_in(adam).get("/jobs/", {"whose": "all"})
    assert "<script>alert" not in answer.content.decode()
    assert answer.content.decode().count('data-label="Job"') == 1
    assert text_of(answer).count(HOSTILE) == 2  # as the user, and the cluster that is offered as a filter
    assert HOSTILE.replace("\u202e", "\\u202e") in text_of(answer)  # the name of a cluster turns no text around


@pytest.mark.sqlite
def test_a_job_whose_columns_hold_neither_time_nor_number_is_listed(adam):
    make_job()
    make_job()
    for column in ("created_at", "customer_count"):
        set_column("jobs", "jobs_job", column, "<script>alert(1)</script>", "id = (SELECT min(id) FROM jobs_job)")
    page = signed_in(adam).get("/jobs/", {"whose": "all"}).content.decode()
    assert page.count('data-label="Job"') == 2
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
