"""Tokens that were pasted where something else was asked for: not shown again, not logged, not kept."""

import logging

import pytest
from django.test import Client

from audit.models import AuditEntry, Kind
from audit.tests.making import make_attempt
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import stored_bytes, text_of
from tmsdash.tokens import REMOVED, without_tokens

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJvbGl2aWEifQ.c2lnbmF0dXJlLW9mLWl0"
OPAQUE = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
UUID = "123e4567-e89b-12d3-a456-426614174000"
HEX = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        (f"1234567\n{HEX}\n{UUID}", f"1234567\n{HEX}\n{UUID}"),
        (
            "zebra, yak <b>;\tcustomer-with-a-long-name-but-not-a-digit",
            "zebra, yak <b>;\tcustomer-with-a-long-name-but-not-a-digit",
        ),
        (f"1234567\n{JWT}\n89", f"1234567\n{REMOVED}\n89"),
        (f"1234567,Bearer {JWT};89", f"1234567,Bearer {REMOVED};89"),
        (f"a1 {OPAQUE}\r\nb2", f"a1 {REMOVED}\r\nb2"),
        (f"{JWT[:60]}\n{JWT[60:]}", f"{REMOVED}\n{JWT[60:]}"),
        ("a1\nshort-token-of-19ch\nb2", f"a1\n{REMOVED}\nb2"),
        ("a1\nx:short-token-of-19ch:\nb2", f"a1\n{REMOVED}\nb2"),
    ],
)
def test_what_may_be_a_token_is_taken_out_and_ids_stay(typed, shown):
    assert without_tokens(typed, "short-token-of-19ch") == shown


def test_a_short_token_takes_no_ids_out():
    assert without_tokens("a1 a12 a", "a") == f"a1 a12 {REMOVED}"


def test_the_page_after_the_end_of_a_session_shows_no_token(databases):
    form = {"token": "another-token-0815", "cids": f"zebra\nanother-token-0815\n{JWT}\n{OPAQUE}\nyak"}
    page = Client().post("/review/", form)
    assert page.status_code == 401
    assert f"zebra {REMOVED} {REMOVED} {REMOVED} yak" in text_of(page)
    assert "What looked like a token was taken out of it." in text_of(page)
    for token in (form["token"], JWT, OPAQUE):
        assert token not in page.content.decode()
    assert "taken out" not in text_of(Client().post("/review/", {"cids": "zebra"}))


ADDRESSES = [
    f"/login/?next=/jobs/%3Fcustomer%3D{JWT}",
    f"/login/?token={JWT}",
    f"/jobs/?customer={JWT}",
    f"/jobs/?user={JWT.replace('.', '%2E')}",
    f"/batches/?batch={JWT}",
    f"/customers/?cid={JWT}",
    f"/customers/{JWT}/",
    f"/api/audit/customer/{JWT}",
    f"/attempts/{JWT}/",
    f"/admin/audit/attempt/?q={JWT}",
    f"/admin/jobs/job/?q=Bearer+{JWT}",
    f"/admin/auth/user/?q={JWT}",
    f"/{JWT}",
]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_address_with_a_token_is_refused_and_neither_shown_nor_logged(adam, address, method, caplog):
    caplog.set_level(logging.DEBUG)
    for client in (Client(), signed_in(adam)):
        answer = client.generic(method, address)
        assert answer.status_code == 400
        assert "looks like a bearer token" in answer.content.decode()
        assert JWT not in answer.content.decode() + str(answer.headers)
    ours = [record for record in caplog.records if record.name != "django.security.csrf"]
    assert JWT not in "".join(record.getMessage() for record in ours)
    assert JWT.encode() not in stored_bytes()


def test_signing_in_leads_to_no_address_with_a_token(olivia):
    form = {"username": "olivia", "password": "wrong", "next": f"/jobs/?customer={JWT}"}
    assert JWT not in Client().post("/login/", form).content.decode()


def test_the_reason_of_a_decision_holds_no_token(adam, settings):
    settings.TMS_OPEN_AFTER_S = 0
    attempt = make_attempt(Kind.UNKNOWN)
    form = {"ruling": "applied", "reason": f"TMS said so with {JWT}"}
    page = signed_in(adam).post(f"/attempts/{attempt.attempt_id}/decide/", form)
    assert page.status_code == 400
    assert JWT not in page.content.decode()
    assert not AuditEntry.objects.filter(kind=Kind.DECIDED).exists()
    assert JWT.encode() not in stored_bytes()
