"""What concerns a production cluster says so: its page with a bar, its row of each list with a mark and a badge."""

import re

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from audit.models import Attempt
from jobs.app_status.tests.making import make_run
from jobs.tests.making import make_batch, make_job
from setactions.pages.tests.test_new_action import fill_in
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of

EVIAN, BROOKE = "http://127.0.0.1:1", "http://127.0.0.1:2"
BAR = 'aria-label="Production"><p class="width">Production cluster: <strong>brooke</strong>'
ROW = re.compile(r"<tr[^>]*>.*?</tr>", re.DOTALL)


@pytest.fixture
def client(databases, settings, adam):
    """An administrator's, where brooke is a production cluster."""
    settings.TMS_CLUSTERS, settings.TMS_PRODUCTION_CLUSTERS = {"evian3": EVIAN, "brooke": BROOKE}, ["brooke"]
    return signed_in(adam)


@pytest.fixture
def things(client):
    """Addresses of pages: of a job, a batch and a run on each of the clusters; and of a batch for both."""
    jobs = [make_job(indexed=True, cids=["c1"], cluster_url=origin) for origin in (EVIAN, BROOKE)]
    # One of each is open, so that it is in doubt.
    for origin in (EVIAN, BROOKE):
        make_job(indexed=True, cids=["c2"], cluster_url=origin)
    doubtful = Attempt.objects.exclude(attempt_id__in=[job.job_id for job in jobs])
    doubtful.update(is_open=True, outcome="unknown", created_at="2026-01-01T00:00:00Z")
    batches = [make_batch(clusters=[origin]) for origin in (EVIAN, BROOKE)]
    runs = [make_run(cluster_url=origin) for origin in (EVIAN, BROOKE)]
    mixed = make_batch(clusters=[EVIAN, BROOKE])
    pages = {
        "job": [reverse("job_detail", args=[job.job_id]) for job in jobs],
        "attempt": [reverse("attempt", args=[job.job_id]) for job in jobs],
        "in doubt": [reverse("attempt", args=[attempt.attempt_id]) for attempt in doubtful.order_by("pk")],
        "batch": [reverse("batch", args=[batch.batch_id]) for batch in batches],
        "run": [reverse("app_run", args=[run.run_id]) for run in runs],
        "status": [reverse("live_status", args=[name]) for name in ("evian3", "brooke")],
    }
    return pages, reverse("batch", args=[mixed.batch_id])


def page_of(client, address):
    answer = client.get(address)
    assert answer.status_code == 200, address
    return answer.content.decode()


def marked(page):
    """For each row that names a cluster: whether it has the mark, and whether the badge."""
    rows = [row for row in ROW.findall(page) if 'data-label="Cluster"' in row]
    return [("on-production" in row, "production</span>" in row) for row in rows]


@pytest.mark.pages
def test_each_page_of_something_on_a_production_cluster_has_the_bar_and_names_the_origin(client, things):
    for name, (usual, production) in things[0].items():
        assert BAR in page_of(client, production), name
        assert "production-bar" not in page_of(client, usual), name
        if name != "status":
            assert f'<span class="origin">{BROOKE}</span>' in page_of(client, production), name


@pytest.mark.pages
def test_a_batch_for_several_clusters_has_the_bar_if_one_of_them_is_production(client, things):
    page = page_of(client, things[1])
    assert BAR in page
    assert sorted(marked(page)) == [(False, False)] * 2 + [(True, True)] * 2


@pytest.mark.pages
@pytest.mark.parametrize(
    ("address", "count"),
    [
        ("/jobs/?whose=all", 2),
        ("/activity/?whose=all", 4),
        ("/batches/?whose=all", 2),
        ("/in-doubt/", 1),
        ("/apps/?whose=all", 1),
        ("/status/", 1),
        ("/customers/c1/", 1),
    ],
)
def test_each_list_marks_what_is_on_a_production_cluster_and_nothing_else(client, things, address, count):
    rows = marked(page_of(client, address))
    assert rows.count((True, True)) == count
    assert rows.count((False, False)) == len(rows) - count > 0


@pytest.mark.pages
def test_chunks_in_activity_are_marked_too_and_filters_name_production_clusters(client, things):
    batch_id = things[1].strip("/").rpartition("/")[2]
    page = page_of(client, f"/activity/?whose=all&open={batch_id}")
    chunks = [row for row in ROW.findall(page) if 'class="chunk' in row]
    assert [("on-production" in row) for row in chunks] == [False, False, True, True]
    for address in ("/jobs/", "/activity/?whose=all", "/batches/"):
        assert f'<option value="brooke">PRODUCTION: brooke ({BROOKE})</option>' in page_of(client, address)


@pytest.mark.pages
def test_the_form_that_comes_back_and_the_review_say_that_the_cluster_is_production(client):
    refused = fill_in(client, cluster="brooke", action="")
    assert BAR in refused.content.decode()
    review = fill_in(client, cluster="brooke")
    assert BAR in review.content.decode()
    assert "on brooke production ?" in text_of(review)
    assert "production-bar" not in fill_in(client).content.decode()


@pytest.mark.chromium
def test_the_bar_follows_what_the_form_chooses(open_page):
    page = open_page("operator")
    page.goto("/")
    bar = page.get_by_role("complementary", name="Production")
    expect(bar).to_be_hidden()
    page.get_by_label("Cluster").select_option("brooke")
    expect(bar).to_have_text("Production cluster: brooke")
    page.get_by_label("Cluster").select_option("evian3")
    expect(bar).to_be_hidden()
