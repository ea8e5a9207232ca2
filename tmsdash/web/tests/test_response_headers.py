"""What every answer carries, whoever makes it: security headers, and an id that is in the log."""

import logging
import re

import pytest
from django.contrib.staticfiles.finders import get_finders
from django.test import Client

from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import KEYS, run_python, table_missing

pytestmark = pytest.mark.pages

EXPECTED = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def assert_headers(answer):
    assert {name: answer.get(name) for name in EXPECTED} == EXPECTED
    assert [name for name in answer.headers if name.startswith("Access-Control-")] == []  # no other site may read it
    assert re.fullmatch("[0-9a-f]{16}", answer["X-Request-ID"])


def assert_private(answer):
    assert_headers(answer)
    assert "no-store" in answer["Cache-Control"]


def is_text(content_type):
    """Whether bytes of this type are text that is read in some charset; of JSON that is UTF-8 by its standard."""
    return re.match(r"text/|application/jsonl|\S+[/+]xml\b", content_type) is not None


@pytest.mark.parametrize(
    "path", ["/", "/jobs/", "/jobs/?before=x", "/api/jobs/mine", "/health", "/nonsense/", "/password/"]
)
def test_answers_to_users_carry_them_and_are_stored_nowhere(olivia, path):
    assert_private(signed_in(olivia).get(path))


@pytest.mark.parametrize("path", ["/", "/login/", "/api/jobs/mine", "/admin/", "/nonsense/", "/jobs"])
def test_answers_to_strangers_too(databases, path):
    assert_private(Client().get(path))


@pytest.mark.parametrize("path", ["/", "/login/", "/proxy_fetch", "/api/jobs/mine", "/static/tmsdash.css"])
def test_no_other_site_is_let_in_by_asking_first(databases, path):
    asks = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for method in ("OPTIONS", "GET", "POST"):
        answer = Client().generic(method, path, headers=asks)
        assert_headers(answer)
        answer.close()


def test_the_admin_too(audrey):
    for path in ("/admin/", "/admin/jobs/job/", "/admin/nonsense/", "/admin/auth/user/"):
        assert_private(signed_in(audrey).get(path))


def test_what_is_refused_before_any_view_too(databases, settings):
    client = Client()
    assert_private(client.get("/", headers={"Host": "evil.example"}))
    assert_private(client.generic("POST", "/proxy_fetch", headers={"Transfer-Encoding": "chunked"}))
    assert_private(client.generic("POST", "/login/", b"", CONTENT_LENGTH=str(6 << 20)))
    assert_private(Client(enforce_csrf_checks=True).post("/login/", {}))
    settings.SECURE_SSL_REDIRECT = True
    assert_private(Client().get("/", headers={"Host": "evil.example"}))  # refused before Django sets its own
    answer = Client().get("/login/")
    assert_private(answer)
    assert answer["Location"] == "https://testserver/login/"


def test_a_failure_of_ours_too(olivia):
    client = signed_in(olivia)
    client.raise_request_exception = False
    with table_missing("jobs", "jobs_job"):
        answer = client.get("/jobs/")
    assert answer.status_code in (500, 503)
    assert_private(answer)


def test_static_files_may_be_kept(databases):
    answer = Client().get("/static/tmsdash.css")
    b"".join(answer.streaming_content)
    answer.close()
    assert_headers(answer)
    assert "no-store" not in answer["Cache-Control"]


def test_every_static_file_that_is_text_names_its_charset(databases):
    names = [name for finder in get_finders() for name, _ in finder.list([])]
    types = set()
    for name in names:
        answer = Client().get(f"/static/{name}")
        types.add(answer["Content-Type"])
        answer.close()
    assert {"image/svg+xml; charset=utf-8", 'text/css; charset="utf-8"'} <= types
    assert [given for given in types if is_text(given) and "charset" not in given] == []


@pytest.mark.parametrize(
    ("path", "code"), [("/nonsense/", 404), ("/api/jobs/mine?limit=0", 400), ("/review/", 400), ("/admin/", 403)]
)
def test_the_id_of_an_error_is_in_the_log(olivia, caplog, path, code):
    client = signed_in(olivia)
    answer = client.post(path) if path == "/review/" else client.get(path, follow=True)
    assert answer.status_code == code
    [handler] = [handler for handler in logging.getLogger("django").handlers if handler.name == "stderr"]
    assert re.search(rf" \[WARNING .* {answer['X-Request-ID']}\]", handler.format(caplog.records[-1]))


def test_each_request_has_an_id_of_its_own_whatever_the_client_sends(olivia):
    client = signed_in(olivia)
    ids = {client.get("/jobs/", headers={"X-Request-ID": "mine"})["X-Request-ID"] for _ in range(3)}
    assert len(ids) == 3
    assert "mine" not in ids


# -- The site behind HTTPS ----------------------------------------------------------------------------------------

SECURE = {
    "ALLOWED_HOSTS": "dash.example",
    "TMS_CLUSTERS": "evian3=https://tms.example",
    "SECRET_KEY": "k" * 25 + "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
}


def test_a_site_under_a_name_is_secure_without_further_settings(tmp_path):
    code = (
        "import django; django.setup(); from django.conf import settings as s; "
        "print(s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.SECURE_SSL_REDIRECT, s.SECURE_HSTS_SECONDS, s.DEBUG)"
    )
    told = run_python("-c", code, var_dir=tmp_path, DJANGO_SETTINGS_MODULE="tmsdash.settings", **(KEYS | SECURE))
    assert told.stdout.split() == ["True", "True", "True", str(365 * 24 * 3600), "False"]


def test_the_deployment_check_has_no_other_complaint_than_of_sqlite_and_key(tmp_path):
    told = run_python("manage.py", "check", "--deploy", "--fail-level", "ERROR", var_dir=tmp_path, **SECURE)
    assert told.returncode == 0
    found = set(re.findall(r"\((\w+\.[EW]\d+)\)", told.stdout + told.stderr))
    assert found <= {"tmsdash.W001", "tmsdash.W004", "tmsdash.W042"}  # and the generated key, in a clone


def test_secure_answers_say_that_plain_http_is_over(databases, settings):
    settings.SECURE_HSTS_SECONDS, settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = 1000, True
    answer = Client().get("/login/", secure=True)
    assert answer["Strict-Transport-Security"] == "max-age=1000; includeSubDomains"
