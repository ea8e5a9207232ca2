"""Tokens that were pasted where something else was asked for: not shown again, not logged, not kept."""

import io
import logging

import pytest
from django.test import Client

from audit.accounts.tests.test_changes import NEW_PASSWORD, form_of
from audit.choices import Kind
from audit.models import AuditEntry
from audit.tests.making import make_attempt
from tmsdash.tests.fixtures import PASSWORD, signed_in
from tmsdash.tests.tools import stored_bytes, text_of
from tmsdash.tokens import REMOVED, without_tokens

pytestmark = pytest.mark.pages

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
    page = Client().post("/review/", form, follow=True)
    assert page.redirect_chain == [("/login/?next=/review/", 302)]
    for token in (form["token"], JWT, OPAQUE):
        assert token not in page.content.decode()


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


@pytest.fixture
def written():
    """What the log's own handler has written until now."""
    stream = io.StringIO()
    handler = next(handler for handler in logging.getLogger().handlers if handler.name == "stderr")
    before = handler.setStream(stream)
    yield stream.getvalue
    handler.setStream(before)


@pytest.mark.parametrize("path", [f"/{OPAQUE}x", f"/attempts/{OPAQUE}x/", f"/api/jobs/{OPAQUE}x", f"/admin/{OPAQUE}x/"])
def test_no_line_of_the_log_holds_a_path_that_may_be_a_token(adam, written, path):
    assert signed_in(adam).get(path).status_code == 404
    assert "Not Found: " in written()
    assert OPAQUE not in written()


def test_no_line_of_the_log_holds_a_token_of_a_header(adam, written):
    client = signed_in(adam, enforce_csrf_checks=True)
    client.post("/sessions/", headers={"Origin": f"http://{JWT}"})
    client.get("/jobs/", headers={"Host": f"{JWT}.example"})
    with pytest.raises(ValueError, match="Bearer"):
        raise_and_log(f"Bearer {JWT}")
    assert written().count(REMOVED) >= 4
    assert JWT not in written()


def raise_and_log(text):
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("tmsdash.tests").exception("It failed with %s", text)
        raise


def test_a_browser_that_names_itself_with_a_token_is_kept_without_it(olivia):
    for token in (JWT, OPAQUE):
        client = Client(headers={"User-Agent": f"script {token}"})
        client.post("/login/", {"username": "olivia", "password": "wrong"})
        assert client.post("/login/", {"username": "olivia", "password": PASSWORD}).status_code == 302
        assert f"script {REMOVED}" in client.get("/sessions/").content.decode()
        assert token.encode() not in stored_bytes()


@pytest.mark.parametrize("path", ["/admin/auth/user/add/", "/admin/auth/group/add/"])
def test_no_account_and_no_group_is_called_like_a_token(adam, path):
    passwords = {"usable_password": "true", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    page = signed_in(adam).post(path, passwords | {"username": JWT, "name": JWT})
    assert page.status_code == 200
    assert "This looks like a bearer token." in text_of(page)
    assert JWT.encode() not in stored_bytes()


def test_no_field_of_an_account_takes_a_token(adam, olivia):
    path = f"/admin/auth/user/{olivia.pk}/change/"
    for field in ("first_name", "last_name"):
        page = signed_in(adam).post(path, form_of(signed_in(adam), path, **{field: JWT}))
        assert "This looks like a bearer token." in text_of(page)
    assert JWT.encode() not in stored_bytes()
