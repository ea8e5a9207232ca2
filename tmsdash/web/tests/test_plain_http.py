"""A site that is HTTPS only: what scripts send over plain HTTP is refused with a sentence, pages lead to HTTPS."""

import pytest
from django.test import Client

from tmsdash.tests.fixtures import PASSWORD, TOKEN, signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.pages

WORDS = "What you sent has crossed the network unprotected: replace every token or password"


@pytest.fixture(autouse=True)
def https_only(settings):
    settings.SECURE_SSL_REDIRECT = True
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True


@pytest.mark.parametrize("path", ["/proxy_fetch", "/api/jobs/mine", "/api/audit/customer/a1", "/api/nonsense"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT"])
def test_json_is_refused_in_json(databases, path, method):
    answer = Client().generic(method, path, b"{}", content_type="application/json")
    assert (answer.status_code, answer["Content-Type"]) == (403, "application/json")
    assert "Location" not in answer
    if method != "HEAD":
        body = answer.json()
        assert WORDS in body["message"]
        assert (body["outcome"], body["attempt_id"], body["job_id"]) == ("refused", None, None)


def test_a_set_action_over_plain_http_is_refused_whoever_sends_it(fetch, olivia, tms):
    for client in (Client(), signed_in(olivia), Client(enforce_csrf_checks=True)):
        answer = fetch(client=client)
        assert (answer.status_code, WORDS in answer.json()["message"]) == (403, True)
        assert TOKEN not in answer.content.decode()
    assert tms.calls() == []


@pytest.mark.parametrize("path", ["/login/", "/logout/", "/review/", "/password/", "/admin/", "/nonsense/"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_whatever_is_no_opening_of_a_page_is_refused(databases, path, method):
    answer = Client().generic(method, path, b"x=y", content_type="application/x-www-form-urlencoded")
    assert (answer.status_code, WORDS in text_of(answer)) == (403, True)


def test_a_password_over_plain_http_signs_nobody_in(olivia):
    answer = Client().post("/login/", {"username": "olivia", "password": PASSWORD})
    assert (answer.status_code, "sessionid" in answer.cookies) == (403, False)


def test_a_token_or_a_session_on_a_page_is_refused(olivia):
    assert Client().get("/jobs/", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 403
    assert signed_in(olivia).get("/jobs/").status_code == 403  # no browser sends a Secure cookie here


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_opening_a_page_leads_to_https(databases, method):
    answer = Client().generic(method, "/jobs/?whose=all")
    assert (answer.status_code, answer["Location"]) == (301, "https://testserver/jobs/?whose=all")


def test_health_answers_over_plain_http(databases):
    assert Client().get("/health").status_code == 200
    assert Client().get("/healthy").status_code == 403  # only that one


def test_over_https_all_is_as_ever(olivia, fetch):
    assert signed_in(olivia).get("/jobs/", secure=True).status_code == 200


def test_without_https_only_nothing_is_refused(settings, olivia):
    settings.SECURE_SSL_REDIRECT = False
    assert signed_in(olivia).get("/jobs/").status_code == 200
    assert Client().post("/login/", {"username": "olivia", "password": PASSWORD}).status_code == 302
