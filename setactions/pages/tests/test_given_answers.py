"""Answers to get/action that a user read elsewhere and gives to the status page."""

import io
import json
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from jobs.live import states
from jobs.models import LiveReading
from setactions.tms.clusters import cluster_named
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of

pytestmark = [pytest.mark.pages, pytest.mark.usefixtures("databases")]
ADDRESS = "/status/evian3/answer/"
ANSWER = {"a1": {"action_code": 2, "action_desc": "pe-enable"}, "b2": {"action_code": 3, "action_desc": "t-enable"}}


@pytest.fixture
def evian3(tms):
    return cluster_named("evian3")


@pytest.fixture
def client(olivia):
    return signed_in(olivia)


def codes(cluster, *cids):
    return {cid: state.code for cid, state in states.states_of(cluster.origin, cids).by_cid.items()}


def give(client, answer=ANSWER, **fields):
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return client.post(ADDRESS, {"answer": text} | fields)


def time_text(ago):
    return f"{timezone.now() - ago:%Y-%m-%dT%H:%M:%S}"


def test_a_given_answer_counts_as_a_reading_and_is_marked_as_given(client, evian3):
    page = client.get(give(client, read_at=time_text(timedelta(hours=2)))["Location"])
    assert codes(evian3, "a1", "b2", "c3") == {"a1": 2, "b2": 3, "c3": 0}
    assert re.search(r"2 customers on [\d: -]+ UTC \(2.hours ago\) , given by olivia, not read here", text_of(page))
    assert "given by olivia, not read here" in text_of(client.get("/status/evian3/?q=a1"))
    assert client.get("/status/evian3/customers.csv").getvalue().decode().count(",given,olivia") == 2


def test_a_file_counts_like_what_is_pasted(client, evian3):
    client.post(ADDRESS, {"answer_file": io.BytesIO(json.dumps(ANSWER).encode())})
    assert codes(evian3, "a1") == {"a1": 2}


def test_an_answer_without_a_time_was_read_just_now(client, evian3):
    before = timezone.now()
    give(client)
    assert before <= LiveReading.objects.get().began_at <= timezone.now()


@pytest.mark.parametrize(
    ("answer", "fields", "sentence"),
    [
        ("", {}, "Either paste the answer or upload a file with it."),
        ("{", {}, "This is not the whole answer"),
        ('{"a1": {"action_code": 2}, "a1": {"action_code": 3}}', {}, "This is not the whole answer"),
        ({}, {}, "This answer lists 0 customers"),
        ([], {}, "This answer is not a list of customers' actions."),
        ({"message": "busy", "success": False}, {}, "This answer is not a list of customers' actions."),
        ({"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln": {"action_code": 2}}, {}, "cannot be a customer id"),
        (ANSWER, {"read_at": "2999-01-01T00:00:00"}, "This time is still to come."),
        (ANSWER, {"read_at": "2001-01-01T00:00:00"}, "Readings are kept for 30 days."),
        (ANSWER, {"read_at": "yesterday"}, "This is no time."),
    ],
)
def test_what_is_no_answer_is_refused_and_changes_nothing(client, evian3, answer, fields, sentence):
    page = give(client, answer, **fields)
    assert page.status_code == 400
    assert sentence in text_of(page)
    assert b"eyJ" not in page.content
    assert not LiveReading.objects.exists()


def test_an_answer_that_is_too_large_is_refused(client, evian3, settings):
    settings.TMS_MAX_READ_BYTES = 50
    assert "larger than TMS_MAX_READ_BYTES" in text_of(give(client))
    assert not LiveReading.objects.exists()


def test_an_answer_for_one_customer_is_not_taken_for_that_of_all(client, evian3):
    give(client, {f"c{number}": {"action_code": 2} for number in range(5)})
    page = give(client, {"a1": {"action_code": 2}})
    assert page.status_code == 400
    assert "This answer lists 1 customer, but 5 are known of evian3." in text_of(page)
    assert codes(evian3, "c1", "a1") == {"c1": 2, "a1": 0}
    assert give(client, {"a1": {"action_code": 2}}, may_be_fewer="on").status_code == 302
    assert codes(evian3, "c1", "a1") == {"c1": 0, "a1": 2}


def test_an_answer_older_than_what_is_known_shows_nothing_and_says_so(client, evian3):
    give(client)
    page = give(client, {"a1": {"action_code": 5}, "b2": {"action_code": 5}}, read_at=time_text(timedelta(hours=1)))
    assert "older than what was known" in text_of(page)
    assert codes(evian3, "a1", "b2") == {"a1": 2, "b2": 3}


def test_whoever_may_not_send_may_not_give_answers(audrey, evian3):
    assert give(signed_in(audrey)).status_code == 403
    assert not LiveReading.objects.exists()
