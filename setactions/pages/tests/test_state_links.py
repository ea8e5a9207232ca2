"""Each number of a job's card leads to exactly the customers whom it counts, however their states are known."""

import csv
import io
import re
from datetime import timedelta
from html import unescape

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.choices import Action
from jobs.live import states
from jobs.models import AppRun, LiveCluster, LiveReading
from jobs.tests.making import make_job
from setactions.tms.clusters import cluster_named
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.usefixtures("databases")
CIDS = ("a1", "b2", "c3", "d4", "e5", "f6")
CODES = st.sampled_from([-1, 0, 1, 2, 3, 4, 5, 9])


def read(cluster, asked, codes, ago_s, source="tms"):
    at = timezone.now() - timedelta(seconds=ago_s)
    facts = {"user_id": "oscar", "began_at": at, "ended_at": at, "source": source}
    shown = LiveReading(cluster_url=cluster.origin, asked=asked, **facts)
    if asked == LiveReading.ALL:
        states.keep_whole(shown, codes)
    else:
        states.keep_one(shown, codes)


def rows_of(page):
    """The words of each row of the card, with its number and the addresses of its page and its file."""
    card = page.content.decode().partition('data-label="Shown"')
    cells = r'</span> ([^<]+)</span></td>\s*<td data-label="Customers"[^>]*>\s*<a href="([^"]+)">([\d,]+)</a>'
    rows = re.findall(rf'{cells}\s*</td>\s*<td data-label="File"><a href="([^"]+)"', "".join(card))
    return [(words, int(count), unescape(address), unescape(file)) for words, address, count, file in rows]


@pytest.fixture
def mixed(tms):
    """A job for three customers, two at its action before it was accepted; one of them was read alone since."""
    cluster = cluster_named("evian3")
    read(cluster, "ALL", {"a1": 3, "b2": 3, "c3": 2}, ago_s=600)
    job = make_job(cids=("a1", "b2", "c3"), action=Action.T_ENABLE, cluster_url=cluster.origin)
    read(cluster, "a1", 3, ago_s=-1)
    return job


def test_customers_in_one_state_are_told_apart_by_how_that_is_known(olivia, mixed):
    client = signed_in(olivia)
    rows = {words: address for words, _, address, _ in rows_of(client.get(f"/jobs/{mixed.job_id}/"))}
    listed = {
        words: re.findall(r'class="id" href="/customers/(\w+)/"', client.get(address).content.decode())
        for words, address in rows.items()
    }
    assert listed == {
        "confirmed": ["a1"],
        "at T-Enable before this was accepted": ["b2"],
        "at PE-Enable before this was accepted": ["c3"],
    }
    assert "as read since it was accepted" in text_of(client.get(rows["confirmed"]))


def test_an_app_status_run_of_such_customers_is_of_them_alone(olivia, mixed):
    query = {"job": mixed.job_id, "state": "3", "basis": "since", "cluster": "evian3", "token": TOKEN}
    assert signed_in(olivia).post("/apps/start/", query).status_code == 302
    assert [customer.cid for customer in AppRun.objects.get().customers.all()] == ["a1"]


@pytest.mark.parametrize("query", ["basis=since", "basis=nothing&job={job}", "basis=since&batch={job}"])
def test_how_a_state_is_known_is_asked_for_a_job_alone(olivia, mixed, query):
    assert signed_in(olivia).get(f"/status/evian3/?{query.format(job=mixed.job_id)}").status_code == 400


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_all_numbers_add_up_and_lead_to_that_many_customers(olivia, tms, data):
    cluster, client = cluster_named("evian3"), signed_in(olivia)
    LiveCluster.objects.all().delete()
    LiveReading.objects.all().delete()
    job = make_job(cids=CIDS, action=data.draw(st.sampled_from(Action)), cluster_url=cluster.origin)
    for ago_s in data.draw(st.lists(st.sampled_from([900, 600, -1, -2]), max_size=2, unique=True)):
        source = data.draw(st.sampled_from(["tms", "given"]))
        read(cluster, "ALL", data.draw(st.dictionaries(st.sampled_from(CIDS), CODES)), ago_s, source)
    for cid, code in data.draw(st.dictionaries(st.sampled_from(CIDS), CODES, max_size=3)).items():
        read(cluster, cid, code, data.draw(st.sampled_from([700, 300, -3])))
    rows = rows_of(page := client.get(f"/jobs/{job.job_id}/"))
    assert sum(count for _, count, *_ in rows) == len(CIDS), text_of(page)
    for _, count, address, file in rows:
        assert len(re.findall('class="id"', client.get(address).content.decode())) == count
        assert len(list(csv.reader(io.StringIO(client.get(file).getvalue().decode())))) == count + 1
