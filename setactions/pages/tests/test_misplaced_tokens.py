"""A token in the place of something else is neither kept nor shown on the pages of live states."""

import pytest
from django.utils.html import escape

from jobs.models import LiveReading
from setactions.resolving.tests.doubting import reads
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import stored_bytes, text_of

pytestmark = [pytest.mark.pages, pytest.mark.usefixtures("databases")]
OPAQUE = "Zq7" * 14 + "x1"
RUN = {"cluster": "evian3", "cids": "", "job": "", "batch": "", "list": "", "state": "", "q": "", "token": OPAQUE}


@pytest.fixture
def client(olivia):
    return signed_in(olivia)


def test_a_token_is_not_read_as_a_customer(client, tms):
    answer = client.post("/read-customer/", {"cid": OPAQUE, "cluster": "evian3", "token": OPAQUE})
    assert (answer.status_code, reads(tms), LiveReading.objects.count()) == (400, [], 0)
    assert "The bearer token is among the customer ids." in text_of(answer)
    assert OPAQUE not in answer.content.decode()
    assert OPAQUE.encode() not in stored_bytes()


@pytest.mark.parametrize("field", ["cluster", "cids", "job", "batch", "list", "state", "q"])
def test_the_form_of_a_run_never_shows_its_token_again(client, tms, field):
    answer = client.post("/apps/start/", RUN | {field: OPAQUE})
    assert answer.status_code == 400
    assert OPAQUE not in answer.content.decode()


def test_a_command_that_was_pasted_for_an_answer_is_not_shown_again(client, tms):
    command = f'curl -H "Authorization: Bearer {OPAQUE}" https://evian3.example'
    answer = client.post("/status/evian3/answer/", {"answer": command})
    assert answer.status_code == 400
    assert OPAQUE not in answer.content.decode()


def test_an_answer_with_a_mistake_is_shown_again(client, tms):
    mistaken = '{"a1": {"action_code": 2}'
    assert escape(mistaken) in client.post("/status/evian3/answer/", {"answer": mistaken}).content.decode()
