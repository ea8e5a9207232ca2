"""The customers of a job as a file: all of them in order, for whom the page is, and nothing that calculates."""

import csv
import io
import re
import uuid

import pytest
from django.test import Client

from jobs.tests.making import make_job
from tmsdash.csv_text import from_cell
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.usefixtures("databases")


def path(job_id):
    return f"/jobs/{job_id}/customers.csv"


def cids_of(answer):
    header, *rows = csv.reader(io.StringIO(answer.content.decode(), newline=""), strict=True)
    assert header == ["customer_id"]
    return tuple(from_cell(cell) for (cell,) in rows)


@pytest.mark.parametrize("name", ["olivia", "audrey", "adam"])
def test_all_customers_come_in_order_to_whoever_sees_the_job(request, name):
    cids = tuple(f"c{number:05}" for number in range(1201, 0, -1))
    job = make_job(cids=cids)
    answer = signed_in(request.getfixturevalue(name)).get(path(job.job_id))
    assert cids_of(answer) == cids
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == f'attachment; filename="customers-{job.job_id}.csv"'
    assert "no-cache" in answer["Cache-Control"]


def test_the_largest_job_there_can_be_is_one_whole_file(olivia):
    cids = tuple(f"{number:032x}" for number in range(100_000))
    answer = signed_in(olivia).get(path(make_job(cids=cids).job_id))
    assert cids_of(answer) == cids


def test_nothing_in_it_is_a_formula_and_everything_comes_back(olivia):
    cids = ("=1+1", "+1", "-1", "@x", "＝1", "'=1", "'a", '"q"', '"=1"', "it's", "客户")
    answer = signed_in(olivia).get(path(make_job(cids=cids).job_id))
    assert cids_of(answer) == cids
    assert not re.search('^"?[-=+@＝]', answer.content.decode(), re.MULTILINE)


def test_a_job_of_somebody_else_is_as_if_it_were_not_there(oscar):
    client = signed_in(oscar)
    answers = [client.get(path(job_id)) for job_id in (make_job().job_id, uuid.uuid4())]
    assert [answer.status_code for answer in answers] == [404, 404]
    shown = [text_of(answer).replace(answer["X-Request-ID"], "") for answer in answers]
    assert shown[0] == shown[1]


def test_it_is_for_signed_in_users_and_reading_only(olivia):
    job = make_job()
    assert Client().get(path(job.job_id)).url == f"/login/?next={path(job.job_id)}"
    assert signed_in(olivia).post(path(job.job_id)).status_code == 405


def test_the_page_of_the_job_leads_to_it(olivia):
    job = make_job()
    assert f'href="{path(job.job_id)}"' in signed_in(olivia).get(f"/jobs/{job.job_id}/").content.decode()


def test_a_job_that_lost_customers_is_no_shorter_list(olivia):
    job = make_job(cids=("a", "b", "c"))
    job.customers.filter(cid="b").delete()
    answer = signed_in(olivia).get(path(job.job_id))
    assert (answer.status_code, "Content-Disposition" in answer) == (500, False)
    assert "The job counts 3 customers, but 2 can be read" in text_of(answer)
    answer = signed_in(olivia).get(f"/api/jobs/{job.job_id}/customers")
    assert (answer.status_code, answer.json()["status"]) == (500, "error")
    assert "2 can be read" in answer.json()["message"]
