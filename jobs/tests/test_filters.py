"""The filters of User Jobs: what they find, what they say of wrong values, and that none is dropped."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from audit.choices import Action
from jobs.models import Job
from jobs.tests.making import CLUSTER, make_job
from jobs.tests.test_pages import link, listed
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.usefixtures("databases")

NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clusters(settings):
    settings.TMS_CLUSTERS = {"evian3": CLUSTER, "brooke": "https://brooke.example"}


@pytest.fixture
def jobs(databases):
    """Jobs by a word each, that differ in one thing from the first."""
    return {
        "plain": make_job(indexed=True, created_at=NOON),
        "action": make_job(indexed=True, created_at=NOON, action=Action.PE_DIRECT),
        "cluster": make_job(indexed=True, created_at=NOON, cluster_url="https://brooke.example"),
        "gone": make_job(indexed=True, created_at=NOON, cluster_url="https://gone.example"),
        "customer": make_job(indexed=True, created_at=NOON, cids=("x1", "b2")),
        "day before": make_job(indexed=True, created_at=datetime(2026, 3, 4, 23, 59, 59, 999_999, tzinfo=UTC)),
        "midnight": make_job(indexed=True, created_at=datetime(2026, 3, 5, tzinfo=UTC)),
        "late": make_job(indexed=True, created_at=datetime(2026, 3, 5, 23, 59, 59, 999_999, tzinfo=UTC)),
        "day after": make_job(indexed=True, created_at=datetime(2026, 3, 6, tzinfo=UTC)),
        "oscar": make_job(indexed=True, created_at=NOON, user_id="oscar"),
    }


def found(viewer, jobs, /, **filters):
    """The words of the jobs that are listed."""
    answer = signed_in(viewer).get("/jobs/", filters)
    assert answer.status_code == 200
    return {word for word, job in jobs.items() if f'href="/jobs/{job.job_id}/"' in answer.content.decode()}


ON_THE_DAY = {"plain", "action", "cluster", "gone", "customer", "midnight", "late"}


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"action": "PE-Direct"}, {"action"}),
        ({"cluster": "brooke"}, {"cluster"}),
        ({"cluster": "https://gone.example"}, {"gone"}),
        ({"customer": "x1"}, {"customer"}),
        ({"customer": " x1 "}, {"customer"}),
        ({"customer": "X1"}, set()),
        ({"customer": "x"}, set()),
        ({"customer": "%"}, set()),
        ({"since": "2026-03-05", "until": "2026-03-05"}, ON_THE_DAY),
        ({"since": "2026-03-05"}, ON_THE_DAY | {"day after"}),
        ({"until": "2026-03-05"}, ON_THE_DAY | {"day before"}),
        ({"since": "0001-01-01", "until": "9999-12-31"}, ON_THE_DAY | {"day before", "day after"}),
        ({"action": "PE-Direct", "cluster": "brooke"}, set()),
        ({"customer": "b2", "since": "2026-03-06", "action": "PE-Enable", "cluster": "evian3"}, {"day after"}),
        ({"user": "olivia", "customer": "x1"}, {"customer"}),
    ],
)
def test_an_operator_finds_own_jobs_by(olivia, jobs, filters, words):
    assert found(olivia, jobs, **filters) == words


@pytest.mark.parametrize("query", [{}, {"whose": "all", "user": "oscar"}])
def test_of_a_customer_of_all_only_the_jobs_of_the_user_are_looked_for(jobs, oscar, audrey, query):
    with CaptureQueriesContext(connections["jobs"]) as captured:
        assert found(audrey if query else oscar, jobs, customer="a1", **query) == {"oscar"}
    of_jobs = [query["sql"] for query in captured if "jobs_jobconfirmation" not in query["sql"]]
    [sql] = [sql for sql in of_jobs if jobs["oscar"].job_id.hex in sql.replace("-", "")]
    assert jobs["plain"].job_id.hex not in sql.replace("-", "")


def test_who_sees_all_finds_by_user_too(audrey, jobs):
    assert found(audrey, jobs, whose="all", customer="a1", since="2026-03-05") >= {"oscar", "plain"}
    assert found(audrey, jobs, user="oscar") == {"oscar"}
    assert found(audrey, jobs, user="oscar", action="PE-Direct") == set()
    assert found(audrey, jobs, customer="a1") == set()  # Mine


@pytest.mark.parametrize(
    ("filters", "sentence"),
    [
        ({"action": "PE-Disable"}, "There is no such action."),
        ({"action": "2"}, "There is no such action."),
        ({"cluster": "elsewhere"}, "There is no such cluster."),
        ({"since": "yesterday"}, "yesterday is no day. Write year-month-day"),
        ({"since": "2026-02-30"}, "2026-02-30 is no day."),
        ({"until": "31.12.2026"}, "31.12.2026 is no day."),
        ({"until": "9" * 99}, "9" * 19 + "… is no day."),
        ({"since": "2026-03-06", "until": "2026-03-05"}, "This day is before the first one."),
        ({"customer": "x" * 129}, "A customer id has at most 128 characters."),
        ({"user": "oscar"}, "You can see only your own."),
        ({"user": "x" * 151}, "A user name has at most 150 characters."),
        ({"job": "123"}, "This is not a job id."),
        ({"job": str(uuid.uuid4())}, "There is no such job, or it belongs to somebody else."),
        ({"action": ["PE-Enable", "PE-Direct"]}, "The address gives this more than once."),
    ],
)
def test_a_wrong_value_is_told_at_its_field_and_nothing_is_listed(olivia, jobs, filters, sentence):
    answer = signed_in(olivia).get("/jobs/", filters)
    assert answer.status_code == 400
    assert sentence in text_of(answer)
    assert "No jobs are listed" in text_of(answer)
    assert not any(str(job.job_id) in answer.content.decode() for job in jobs.values())
    assert 'aria-invalid="true"' in answer.content.decode()


def test_a_whole_job_id_leads_to_its_job(olivia, oscar, jobs):
    job_id = jobs["plain"].job_id
    for text in (str(job_id), job_id.hex, f" {job_id} ", str(job_id).upper()):
        assert signed_in(olivia).get("/jobs/", {"job": text, "action": "PE-Direct"}).url == f"/jobs/{job_id}/"
    foreign = signed_in(oscar).get("/jobs/", {"job": str(job_id)})
    missing = signed_in(oscar).get("/jobs/", {"job": str(uuid.uuid4())})
    assert foreign.status_code == missing.status_code == 400
    assert text_of(foreign) == text_of(missing)


def test_active_filters_are_named_with_a_way_to_clear_them(olivia, jobs):
    page = signed_in(olivia).get("/jobs/", {"action": "PE-Direct", "cluster": "", "customer": "b2"})
    assert "Action: PE-Direct × : remove Customer ID: b2 × : remove Clear all" in text_of(page)
    assert 'href="/jobs/?customer=b2" title="Without this filter"' in page.content.decode()
    assert '<a class="button" href="/jobs/">Clear filters</a>' in page.content.decode()
    assert "<title>User Jobs – Action: PE-Direct, Customer ID: b2 · TMS Dashboard</title>" in page.content.decode()
    plain = signed_in(olivia).get("/jobs/?action=&cluster=&since=&until=&customer=&job=")
    assert "<title>User Jobs · TMS Dashboard</title>" in plain.content.decode()
    assert "Clear" not in text_of(plain)
    assert "remove" not in text_of(plain)


def test_clearing_the_filters_of_all_jobs_leads_to_all_jobs(audrey, jobs):
    page = signed_in(audrey).get("/jobs/?whose=all&action=PE-Direct&user=olivia").content.decode()
    assert '<a class="button" href="/jobs/?whose=all">Clear filters</a>' in page
    assert 'href="/jobs/?action=PE-Direct"' in page  # Mine


def test_an_empty_result_says_that_filters_are_why(olivia, jobs):
    page = signed_in(olivia).get("/jobs/", {"customer": "nobody"})
    assert "None of your jobs match. Change the filters, or clear them ." in text_of(page)
    assert "You have no jobs yet" not in text_of(page)
    assert "unfinished" not in text_of(page)


def test_pages_keep_the_filters(audrey):
    client = signed_in(audrey)
    facts = {"indexed": True, "user_id": "a&b=c", "cids": ("x y",)}
    wanted = [make_job(created_at=NOON + timedelta(seconds=number), **facts) for number in range(101)]
    for number in range(60):
        make_job(created_at=NOON + timedelta(seconds=number))
    path, seen = "/jobs/?user=a%26b%3Dc&customer=x+y&since=2026-03-05", []
    while path:
        seen += listed(client, path)
        last, path = path, link(client, path, "next")
    assert seen == [job.job_id for job in reversed(wanted)]
    page = client.get(last).content.decode()
    assert 'href="/jobs/?since=2026-03-05&amp;user=a%26b%3Dc&amp;customer=x+y&amp;whose=all">‹ Newest jobs' in page


def test_behind_the_last_match_the_page_says_so(olivia, jobs):
    page = signed_in(olivia).get("/jobs/", {"customer": "x1", "before": jobs["customer"].pk})
    assert "There are no older jobs that match." in text_of(page)


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", '"><img src=x>', "' or 1=1 --", "客户", "\u202e", "a" * 128]
)
@pytest.mark.parametrize("name", ["customer", "user", "action", "cluster", "since", "job", "whose", "before"])
def test_hostile_text_is_inert(audrey, name, text):
    make_job()
    answer = signed_in(audrey).get("/jobs/", {name: text})
    assert answer.status_code in (200, 400)
    assert "<script>" not in answer.content.decode()
    assert "<img" not in answer.content.decode()


def test_clusters_that_are_not_configured_any_more_can_be_chosen_while_they_have_jobs(olivia, jobs):
    page = signed_in(olivia).get("/jobs/").content.decode()
    for option in (
        '<option value="evian3">evian3 (https://evian3.example)</option>',
        '<option value="https://gone.example">https://gone.example</option>',
    ):
        assert page.count(option) == 1
    Job.objects.filter(cluster_url="https://gone.example").delete()
    assert "gone.example" not in signed_in(olivia).get("/jobs/").content.decode()


def test_filters_neither_hide_nor_narrow_what_is_unfinished(olivia, fetch):
    fetch(token="fault:reset-before")
    page = text_of(signed_in(olivia).get("/jobs/", {"customer": "nobody"}))
    assert "Unfinished These are shown whatever the filters say:" in page
    assert "Do not send it again" in page
    assert "Unfinished attempts have no job yet: look at those above" in page


@pytest.mark.pages
@pytest.mark.parametrize(
    ("path", "name"), [("/jobs/", "User Jobs"), ("/batches/", "Batches"), ("/activity/", "Activity")]
)
def test_the_title_of_a_list_says_what_narrows_it(olivia, path, name):
    client = signed_in(olivia)
    for query, words in (
        ("", name),
        ("?action=PE-Enable&since=2026-03-05", f"{name} – Action: PE-Enable, From day (UTC): 2026-03-05"),
        ("?action=PE-Disable", f" – {name}"),
    ):
        assert f"{words} · TMS Dashboard</title>" in client.get(path + query).content.decode()
