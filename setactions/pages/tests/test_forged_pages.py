"""What comes back from a page changed, or from somebody else, leaves a line in the log: who, from where, no content."""

import logging
import uuid
from dataclasses import replace

import pytest
from django.test import Client

from audit.choices import Action
from jobs.models import StoredReview
from jobs.reviews import keep_review
from setactions.pages.sealing import Purpose, Review, load_reading, load_review, seal_token, sign_reading, sign_review
from setactions.pages.tests.test_new_action import AT, fill_in, press, proceed
from setactions.pages.tests.test_new_action import hidden_fields as page_fields
from setactions.payload import Submission
from setactions.resolving.tests.doubting import LOST_BEFORE, hidden_fields, send
from setactions.tms.clusters import cluster_named
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import table_missing

pytestmark = pytest.mark.pages

PLANTED = "planted-secret-token-0123456789"
ADDRESS = "203.0.113.7"


@pytest.fixture
def lines(caplog):
    """A function that returns what was logged of refused requests since it was asked before."""

    def take():
        taken = [message for message in caplog.messages if message.startswith("[ACCESS]")]
        assert PLANTED not in caplog.text
        caplog.clear()
        return taken

    caplog.set_level(logging.WARNING)
    return take


def client_of(user):
    return signed_in(user, REMOTE_ADDR=ADDRESS)


def line(what, user="olivia"):
    return [f"[ACCESS] refused: user={user}, address={ADDRESS}, {what}"]


def review_by(user_id, **changes):
    submission = Submission(cluster_named("evian3"), Action.PE_ENABLE, "PE-Enable", ("a1",))
    return sign_review(replace(Review.of(submission), **changes), user_id)


def kept(user_id, signed):
    """The address of a review as it is kept."""
    review_id = load_review(signed, user_id).attempt_id
    keep_review(review_id, user_id, signed)
    return f"/review/{review_id}/"


def cookie_of(address):
    return f"review_token_{uuid.UUID(address.split('/')[2]).hex}"


def test_a_review_that_does_not_verify(olivia, tms, lines):
    client, own, other = client_of(olivia), review_by("olivia"), review_by("oscar")
    address = kept("olivia", own)
    for forged in (PLANTED, own[:-2], own.replace(":", ":x", 1), other, review_by("olivia")):  # the last: of another id
        StoredReview.objects.update(signed=forged)
        for step in ("send/", "start/", "leave-out/"):
            assert client.post(address + step, {"token": TOKEN}).status_code == 400
            assert lines() == line("its review does not verify")
        for page in (address, address + "edit/"):
            assert client.get(page).status_code == 400
            assert lines() == line("its review does not verify")
    assert tms.calls() == []


def test_what_a_page_showed_that_does_not_verify_showed_nothing(olivia, oscar, tms, lines):
    others, client = signed_in(oscar), client_of(olivia)
    proceed(others, fill_in(others))
    page, elsewhere = fill_in(client), page_fields(fill_in(client))["shown"]
    for shown in (PLANTED, elsewhere):
        assert proceed(client, page, send_again="1", shown=shown).status_code == 409
        assert lines() == line("what its page showed does not verify")
    assert len(tms.calls()) == 1


def test_a_sealed_token_that_does_not_verify(olivia, tms, lines):
    client = client_of(olivia)
    for step, is_batch in (("send/", False), ("start/", True)):
        address = kept("olivia", review_by("olivia", is_batch=is_batch))
        for sealed in (PLANTED, seal_token(Token(PLANTED), "oscar", uuid.uuid4()), f"1{'A' * 200}"):
            client.cookies[cookie_of(address)] = sealed
            assert press(client, step, {AT: address}).status_code == 400
            assert lines() == line("its sealed token does not verify")
    assert tms.calls() == []


@pytest.mark.usefixtures("impatient")
def test_a_reading_and_a_seal_of_an_attempt_that_do_not_verify(fetch, tms, adam, lines):
    client, attempt = client_of(adam), send(fetch, token=LOST_BEFORE)
    calls, page = len(tms.calls()), f"/attempts/{attempt.attempt_id}/"
    signed = hidden_fields(client.post(f"{page}check/", {"token": TOKEN}))["reading"]
    reading = load_reading(signed, "adam", attempt.attempt_id, Purpose.SECOND)
    other = sign_reading(reading, "adam", uuid.uuid4(), Purpose.SECOND)
    lines()
    for reading in (PLANTED, other):
        assert client.post(f"{page}check/", {"reading": reading}).status_code == 400
        assert lines() == line("its reading does not verify", "adam")
        assert client.post(f"{page}decide/", {"reading": reading}).status_code == 400  # no reason either
        assert lines() == line("its reading does not verify", "adam")
    assert client.post(f"{page}check/", {"sealed": PLANTED}).status_code == 400
    assert lines() == line("its sealed token does not verify", "adam")
    assert len(tms.calls()) == calls + 1


def test_what_is_only_old_or_missing_is_no_attack(olivia, tms, lines, monkeypatch):
    client, attempt_id = client_of(olivia), uuid.uuid4()
    with monkeypatch.context() as earlier:
        earlier.setattr("time.time", lambda: 1_000_000.0)
        old = seal_token(Token(TOKEN), "olivia", attempt_id)
    address = kept("olivia", review_by("olivia", attempt_id=attempt_id))
    for sealed in (old, ""):
        client.cookies[cookie_of(address)] = sealed
        assert press(client, "send/", {AT: address}).status_code == 400
    assert lines() == []


def test_a_body_that_is_not_taken(olivia, lines, settings):
    client = client_of(olivia)
    chunked, large = {"headers": {"Transfer-Encoding": "chunked"}}, {"CONTENT_LENGTH": str(60 << 20)}
    for sender, user in ((client, "olivia"), (Client(REMOTE_ADDR=ADDRESS), "-")):
        for path in ("/proxy_fetch", "/review/"):
            assert sender.generic("POST", path, **chunked).status_code == 411
            assert lines() == line("its body was not taken (411)", user)
            assert sender.generic("POST", path, b"", **large).status_code == 413
            assert lines() == line("its body was not taken (413)", user)


def test_that_the_user_is_not_to_be_known_now_stops_no_line(olivia, lines):
    client = client_of(olivia)
    with table_missing("default", "auth_user"):
        assert client.generic("POST", "/proxy_fetch", headers={"Transfer-Encoding": "chunked"}).status_code == 411
    assert lines() == line("its body was not taken (411)", "-")


def test_nobody_writes_a_line_with_their_address(olivia, lines):
    client = signed_in(olivia, REMOTE_ADDR="1.2.3.4\n[ACCESS] denied: user=adam")
    client.generic("POST", "/proxy_fetch", headers={"Transfer-Encoding": "chunked"})
    assert "\n" not in lines()[0]
