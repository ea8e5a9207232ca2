"""User Jobs of a customer with thousands of jobs: a page looks at as many attempts as it takes; none is left out."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from jobs import selectors, views
from jobs.models import Job
from jobs.selectors import FEW
from jobs.tests.making import CLUSTER, make_job
from jobs.tests.test_pages import link, listed
from tmsdash.tests.fixtures import signed_in

pytestmark = pytest.mark.usefixtures("databases")

NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)


@pytest.fixture(params=[0, FEW])
def made(databases, settings, monkeypatch, request):
    """Thirty jobs of one customer, ten a day, one of which was recorded late; every third is ruth's."""
    settings.TMS_CLUSTERS = {"evian3": CLUSTER}
    monkeypatch.setattr(selectors, "FEW", request.param)
    made = []
    for number in range(30):
        user_id = "olivia" if number % 3 else "ruth"
        at = NOON + timedelta(days=number // 10, seconds=number)
        made.append(make_job(indexed=True, cids=("frequent",), user_id=user_id, created_at=at).job_id)
        make_job(indexed=True, cids=("other",), created_at=at)
    Job.objects.filter(job_id=made[7]).update(created_at=NOON + timedelta(minutes=30))
    return made


def walked(client, monkeypatch, **query):
    """The jobs of all pages of five, and how many statements looked for jobs of attempts for each page."""
    monkeypatch.setattr(views, "JOBS_PER_PAGE", 5)
    path, jobs, counts = "/jobs/?" + urlencode(query | {"customer": "frequent"}), [], []
    while path:
        with CaptureQueriesContext(connections["jobs"]) as captured:
            jobs += listed(client, path)
        counts.append(sum('"jobs_job"."job_id" IN' in query["sql"] for query in captured))
        path = link(client, path, "next")
    return jobs, counts


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({}, range(29, -1, -1)),
        ({"user": "ruth"}, range(27, -1, -3)),
        ({"until": "2026-03-05"}, range(9, -1, -1)),
        ({"since": "2026-03-06", "until": "2026-03-06", "action": "PE-Enable"}, range(19, 9, -1)),
        ({"since": "2026-03-07", "until": "9999-12-31", "cluster": "evian3"}, range(29, 19, -1)),
        ({"action": "PE-Direct"}, []),
    ],
)
def test_each_job_is_on_one_page_in_the_order_of_the_attempts(made, audrey, monkeypatch, query, numbers):
    jobs, _ = walked(signed_in(audrey), monkeypatch, whose="all", **query)
    assert jobs == [made[number] for number in numbers]


def test_a_page_looks_at_no_more_attempts_than_it_takes(made, audrey, monkeypatch):
    client = signed_in(audrey)
    assert walked(client, monkeypatch, whose="all")[1] == [1] * 6
    with CaptureQueriesContext(connections["jobs"]) as captured:
        client.get("/jobs/", {"whose": "all", "customer": "frequent"})
    [sql] = [query["sql"].replace("-", "") for query in captured if '"jobs_job"."job_id" IN' in query["sql"]]
    assert [job_id.hex in sql for job_id in made] == [False] * 6 + [True] * 24
