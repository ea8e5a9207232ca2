"""Denied access is in the log: one line for each request, with user and address, that nobody can forge."""

import re
import uuid
from urllib.parse import quote

import pytest
from django.test import Client

from jobs.tests.making import make_batch, make_job
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import table_missing

pytestmark = pytest.mark.pages

ADDRESS = "203.0.113.7"


@pytest.fixture
def denied(caplog):
    """What the log has of denials: lines since the last look."""

    def lines():
        messages = [record.getMessage() for record in caplog.records if record.name == "tmsdash.web.access_log"]
        assert {record.levelname for record in caplog.records if record.name == "tmsdash.web.access_log"} <= {"WARNING"}
        caplog.clear()
        return messages

    return lines


def line(user, request, status):
    return f"[ACCESS] denied: user={user}, address={ADDRESS}, {request}, {status}"


def client_of(user):
    return signed_in(user, REMOTE_ADDR=ADDRESS)


def test_what_belongs_to_somebody_else_is_a_denial(olivia, oscar, denied):
    job, batch = make_job(), make_batch()  # olivia's
    client = client_of(oscar)
    for path in (f"/jobs/{job.job_id}/", f"/api/jobs/{job.job_id}", f"/batches/{batch.batch_id}/"):
        assert client.get(f"{path}?token={TOKEN}").status_code == 404
        assert denied() == [line("oscar", f"GET {path}", 404)]
    assert client_of(olivia).get(f"/jobs/{job.job_id}/").status_code == 200
    assert denied() == []


def test_what_the_account_may_not_do_is_a_denial(audrey, denied):
    client = client_of(audrey)
    for path in ("/review/", "/admin/jobs/job/add/", "/admin/auth/user/", "/proxy_fetch"):
        assert client.post(path, b"{}", content_type="application/json").status_code == 403
        assert denied() == [line("audrey", f"POST {path}", 403)]


def test_the_admin_denies_who_is_no_staff(olivia, denied):
    client = client_of(olivia)
    assert client.get("/admin/audit/attempt/?user_id=x").status_code == 302
    assert denied() == [line("olivia", "GET /admin/audit/attempt/", 302)]
    assert client.get("/admin/login/?next=/admin/").status_code == 403
    assert denied() == [line("olivia", "GET /admin/login/", 403)]


def test_a_form_without_its_security_token_is_a_denial(olivia, denied):
    client = signed_in(olivia, REMOTE_ADDR=ADDRESS, enforce_csrf_checks=True)
    assert client.post("/review/").status_code == 403
    assert denied() == [line("olivia", "POST /review/", 403)]


def test_a_session_that_is_none_is_a_denial_and_a_stranger_is_not(databases, denied):
    stranger = Client(REMOTE_ADDR=ADDRESS)
    for path in ("/jobs/", "/admin/", "/api/jobs/mine", "/login/", f"/jobs/{uuid.uuid4()}/", "/nonsense/"):
        stranger.get(path)
    assert denied() == []
    stranger.cookies["sessionid"] = "x" * 32
    assert stranger.get("/api/jobs/mine").status_code == 401
    assert denied() == [line("-", "GET /api/jobs/mine", 401)]


def test_a_script_on_plain_http_is_a_denial(databases, settings, denied):
    settings.SECURE_SSL_REDIRECT = True
    Client(REMOTE_ADDR=ADDRESS).post("/proxy_fetch", headers={"Authorization": f"Bearer {TOKEN}"})
    assert denied() == [line("-", "POST /proxy_fetch", 403)]


def test_a_page_that_does_not_exist_is_no_denial(adam, denied):
    client = client_of(adam)
    for path in ("/nonsense/", "/admin/nonsense/", "/jobs/not-a-uuid/", "/static/nothing.css", "/nothing.ico"):
        assert client.get(path).status_code == 404
    assert denied() == []


@pytest.mark.parametrize("code", [403, 404])
def test_what_tms_forbids_is_no_denial_of_ours(fetch, denied, code):
    assert fetch(token=f"fault:http:{code}").status_code == code
    assert denied() == []


HOSTILE = [
    "x\n[ACCESS] denied: user=adam, address=1.2.3.4, GET /, 403",
    "x\r\n[AUDIT] y anchor=1:0123456789abcdef",
    "\x1b[31mred\u202e",
    "a, 200",
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "t" * 60,
    "/".join("abcdefgh" * 4 for _ in range(50)),
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_path_can_neither_write_lines_of_its_own_nor_hold_a_token(settings, databases, denied, text):
    settings.SECURE_SSL_REDIRECT = True  # so that every path is denied
    assert Client(REMOTE_ADDR=ADDRESS).post(f"/customers/{quote(text)}/?{TOKEN}").status_code == 403
    [message] = denied()
    begin, end = line("-", "POST /customers/", 403)[: -len(", 403")], ", 403"
    assert message.startswith(begin)
    assert re.fullmatch(r"[^\s\[\],=]+", message.removeprefix(begin).removesuffix(end))
    assert len(message) < 300
    for secret in (TOKEN, "eyJzdWIi", "t" * 50):
        assert secret not in message


def test_who_it_was_may_be_unknown_when_the_database_does_not_answer(olivia, denied):
    client = signed_in(olivia, REMOTE_ADDR=ADDRESS, enforce_csrf_checks=True)
    client.raise_request_exception = False
    with table_missing("default", "tmsdash_session"):
        assert client.post("/review/").status_code >= 403
    assert all(message.startswith("[ACCESS] denied: user=-, ") for message in denied())
