"""The card *Live state* of a job's page: reading what TMS shows, and running the rest."""

import re
from datetime import timedelta

import pytest

from audit.choices import Action
from jobs.models import Job, JobConfirmation, LiveReading
from jobs.tests.making import make_job
from setactions.live import reading
from setactions.pages.tests.test_new_action import led_on, proceed
from setactions.resolving.tests.doubting import hidden_fields, reads, tms_does
from setactions.tms.clusters import cluster_named
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import text_of

pytestmark = [pytest.mark.pages, pytest.mark.usefixtures("databases")]


@pytest.fixture
def job(tms):
    """T-Enable for five customers on evian3: two are there, two are behind, one is further on."""
    tms_does(tms, "T-Enable", "a1", "b2")
    tms_does(tms, "PE-Enable", "c3")
    tms_does(tms, "PE-Direct", "e5")
    return job_of("a1", "b2", "c3", "d4", "e5")


def job_of(*cids, **changes):
    return make_job(cids=cids, action=Action.T_ENABLE, cluster_url=cluster_named("evian3").origin, **changes)


def verify(client, job, token=TOKEN, **more):
    return client.post(f"/jobs/{job.job_id}/verify/", ({"token": token} if token else {}) | more)


def rest(client, job, **fields):
    return led_on(client, client.post(f"/jobs/{job.job_id}/rest/", fields))


def numbers(page):
    """The numbers of the card's table, by their words."""
    rows = re.findall(r'data-label="Shown">(.*?)</td>\s*<td data-label="Customers"[^>]*>(.*?)</td>', page, re.S)
    bare = [[re.sub("<[^>]*>", "", cell).strip() for cell in row] for row in rows]
    return {words: int(number.replace(",", "")) for words, number in bare}


def test_a_reading_shows_where_a_jobs_customers_are_and_is_kept(olivia, job, tms):
    client = signed_in(olivia)
    before = text_of(client.get(f"/jobs/{job.job_id}/"))
    assert "Confirmed 0 of 5 · 5 not read yet" in before
    assert "TMS has not been read yet." in before
    answer = verify(client, job)
    assert answer.status_code == 200
    text = text_of(answer)
    assert "Confirmed 2 of 5 · 1 still at PE-Enable · 1 not known to TMS · 1 further on (PE-Direct)" in text
    assert "read from TMS for olivia." in text
    assert "Partly confirmed 2 of 5, read" in text
    assert sum(numbers(answer.content.decode()).values()) == 5
    assert JobConfirmation.objects.get().confirmed == 2
    assert reads(tms) == [("ALL",)]
    assert "Partly confirmed" in text_of(client.get("/jobs/"))
    assert "Confirmed 2 of 5" in text_of(client.get(f"/jobs/{job.job_id}/"))


def test_each_number_leads_to_its_customers_and_to_a_file_of_them(olivia, job):
    client = signed_in(olivia)
    page = verify(client, job).content.decode()
    addresses = [address.replace("&amp;", "&") for address in re.findall('href="(/status/evian3/[^"]+)"', page)]
    lists = dict(zip(numbers(page), addresses[::2], strict=True))
    for words, cids in {"confirmed": ["a1", "b2"], "still at PE-Enable": ["c3"], "not known to TMS": ["d4"]}.items():
        shown = client.get(lists[words]).content.decode()
        assert [cid for cid in ("a1", "b2", "c3", "d4", "e5") if f"/customers/{cid}/" in shown] == cids, words
    files = [b"".join(client.get(address).streaming_content).decode() for address in addresses[1::2]]
    assert [file.count("\n") - 1 for file in files] == [*numbers(page).values()]


def test_the_page_of_an_accepted_attempt_leads_to_the_card(olivia, audrey, carry_out):
    attempt = carry_out().attempt_id
    link = f'href="/jobs/{attempt}/#live-state">Check what TMS shows</a>'
    assert link in signed_in(olivia).get(f"/attempts/{attempt}/").content.decode()
    assert link not in signed_in(audrey).get(f"/attempts/{attempt}/").content.decode()


def test_a_job_of_one_customer_reads_that_customer_alone(olivia, tms):
    tms_does(tms, "T-Enable", "a1")
    answer = verify(signed_in(olivia), job_of("a1"))
    assert "Confirmed 1 of 1" in text_of(answer)
    assert reads(tms) == [("a1",)]


def test_a_reading_that_began_before_the_job_does_not_do_for_it(olivia, job, tms):
    client = signed_in(olivia)
    verify(client, job)
    Job.objects.update(created_at=LiveReading.objects.get().began_at + timedelta(microseconds=1))
    stale = text_of(client.get(f"/jobs/{job.job_id}/"))
    assert "Confirmed 0 of 5 · 2 at T-Enable before this was accepted" in stale
    assert "confirms nothing: read again" in stale
    assert "Run the rest" not in stale
    assert "Confirmed 2 of 5" in text_of(verify(client, job))
    assert reads(tms) == [("ALL",), ("ALL",)]


@pytest.mark.parametrize("fault", ["http:500", "http:429", "half-body", "unauthorized", "empty-object"])
def test_a_reading_that_fails_says_why_and_changes_no_number(olivia, job, tms, monkeypatch, fault):
    client = signed_in(olivia)
    verify(client, job)
    monkeypatch.setattr(reading, "FRESH_S", -60)
    answer = verify(client, job, token=f"fault:{fault}")
    assert answer.status_code in (502, 503)
    assert "Nothing new was read evian3" in text_of(answer)
    assert "Confirmed 2 of 5 · 1 still at PE-Enable" in text_of(answer)
    assert f"fault:{fault}" not in answer.content.decode()
    assert ("sealed" in hidden_fields(answer)) == (fault != "unauthorized")


def test_the_token_stays_sealed_in_the_page_for_another_reading(olivia, job, tms, monkeypatch):
    client = signed_in(olivia)
    first = verify(client, job)
    assert TOKEN not in first.content.decode()
    monkeypatch.setattr(reading, "FRESH_S", -60)
    tms_does(tms, "T-Enable", "c3")
    second = verify(client, job, token=None, sealed=hidden_fields(first)["sealed"])
    assert "Confirmed 3 of 5" in text_of(second)
    assert verify(client, job, token=None).status_code == 400


def test_the_rest_goes_through_a_review_with_the_token(olivia, job, tms):
    client = signed_in(olivia)
    page = verify(client, job)
    assert "Run the rest: 2 customers" in text_of(page)
    review = rest(client, job, sealed=hidden_fields(page)["sealed"])
    text = text_of(review)
    assert "Send T-Enable for 2 customers on evian3" in text
    assert re.findall("<li>([a-e][0-9])</li>", review.content.decode()) == ["c3", "d4"]
    sent = proceed(client, review)
    assert sent.status_code == 302, text_of(sent)
    assert tms.calls()[-1].cids == ("c3", "d4")


def test_without_a_token_the_review_of_the_rest_asks_for_one(olivia, job):
    client = signed_in(olivia)
    verify(client, job)
    review = rest(client, job)
    assert 'id="token"' in review.content.decode()


def test_nothing_is_offered_while_nobody_is_known_to_be_behind(olivia, job, tms):
    client = signed_in(olivia)
    assert "Run the rest" not in text_of(client.get(f"/jobs/{job.job_id}/"))
    answer = rest(client, job)
    assert (answer.status_code, answer["Location"]) == (302, f"/jobs/{job.job_id}/")


def test_the_rest_is_sent_as_the_job_was_spelled(olivia, tms):
    job = job_of("a1", "b2", action_sent="t-enable")
    tms_does(tms, "PE-Enable", "a1")
    client = signed_in(olivia)
    verify(client, job)
    assert "sent as t-enable" in text_of(rest(client, job))


def test_auditors_look_at_what_is_stored_and_read_nothing(audrey, olivia, job, tms):
    verify(signed_in(olivia), job)
    client = signed_in(audrey)
    page = client.get(f"/jobs/{job.job_id}/")
    assert "Confirmed 2 of 5" in text_of(page)
    assert b'name="token"' not in page.content
    assert verify(client, job).status_code == 403
    assert rest(client, job).status_code == 403
    assert len(reads(tms)) == 1


def test_the_card_of_a_cluster_that_is_gone_has_no_buttons_and_no_links(olivia, job, settings):
    client = signed_in(olivia)
    verify(client, job)
    settings.TMS_CLUSTERS = {"brooke": "http://127.0.0.1:2"}
    page = client.get(f"/jobs/{job.job_id}/").content.decode()
    assert 'name="token"' not in page
    assert "/status/evian3/" not in page
    answer = verify(client, job)
    assert answer.status_code == 409
    assert "not configured any more" in text_of(answer)
