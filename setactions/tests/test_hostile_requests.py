"""Hostile headers, cookies, encodings, queries, paths and methods: never a 5xx, never a call to TMS."""

import itertools
import json
import uuid

import pytest
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client, RequestFactory

from audit.models import Attempt
from jobs.tests.making import make_job
from setactions.tests.test_hostile_json import UUID, assert_refused, good_body, operator, post  # noqa: F401 (the fixtures)
from tmsdash.tests.fixtures import signed_in
from tmsdash.web.plain_text import NoNulMiddleware, with_plain_content_type

# -- Headers and cookies ------------------------------------------------------------------------------------------


KEYS = [
    *("", " ", "x", UUID[:-1], f"{UUID}0", f" {UUID}", f"{{{UUID}}}", UUID.replace("-", ""), f"urn:uuid:{UUID}"),
    *(f"{UUID}, {UUID}", f"{UUID}\r\nX: y", f"{UUID}\n", "\0", "\xff", "'; --", "9" * 10_000, "٠" * 8 + UUID[8:]),
]


def test_a_key_that_is_no_uuid_is_refused(client, body, tms):
    for key in KEYS:
        assert_refused(post(client, json.dumps(body), **{"Idempotency-Key": key}), tms, key)


HOSTS = (
    "",
    " ",
    "evil.example",
    "testserver@evil",
    "[::1",
    "a b",
    "\0",
    "\xff",
    "<x>",
    "x" * 9999,
)


ASKED = ["/proxy_fetch", "/jobs/", "/login/", "/health", "/api/jobs/mine"]


def test_an_absurd_host_is_refused(client, tms):
    for path in ASKED:
        for host in HOSTS:
            answer = client.post(path, HTTP_HOST=host)
            assert 400 <= answer.status_code < 500, host
            assert b"evil" not in answer.content
        assert tms.calls() == []


def test_an_absurd_address_of_the_client_is_believed_by_nobody(client, body, tms, settings):
    for number, value in enumerate(
        ("<x>", "\0", "127.0.0.1, evil", "9" * 10_000, "203.0.113.7", "::1%" + "x" * 100, "=1+1", "\xff")
    ):
        answer = post(client, json.dumps(body | {"isPost": None}), **{"X-Forwarded-For": value, "X-Real-IP": value})
        assert_refused(answer, tms, value)
        assert Attempt.objects.count() == number + 1
    assert set(Attempt.objects.values_list("ip_address", flat=True)) == {"127.0.0.1"}


LENGTHS = ["-1", "abc", "1e9", "0x10", "5 5", "\xb2", "9" * 400, "1" * 19]


def test_an_absurd_length_is_no_body_or_too_much(client, tms):
    for length in LENGTHS:
        answer = client.generic("POST", "/proxy_fetch", b"{}", CONTENT_LENGTH=length)
        assert_refused(answer, tms, length, 400, 413)


COOKIES = (
    *(
        "",
        "x",
        "\xff" * 20,
        "../../etc/passwd",
        "x" * 10_000,
        '"aaaaaaaaaaaa\\000"',
        '"aaaaaaaaaaaa\\012"',
        '"\\ud800"',
        "'",
    ),
    *("=;=;=", "a" * 32, "A" * 32 + ":1:x", "eyJ.eyJ.x", "\x1b[31m", "None", "0", "[]"),
)


COOKIE_NAMES = ["sessionid", "csrftoken", "messages", "$Path", "x"]


def test_hostile_cookies_sign_nobody_in_and_break_nothing(olivia, tms):
    for name in COOKIE_NAMES:
        for value in COOKIES:
            stranger = Client(enforce_csrf_checks=True)
            for path in ("/jobs/", "/login/", "/admin/", "/health"):
                assert stranger.get(path, HTTP_COOKIE=f"{name}={value}").status_code in (200, 302), value
            answer = stranger.post(
                "/proxy_fetch", b"{}", content_type="application/json", HTTP_COOKIE=f"{name}={value}"
            )
            assert_refused(answer, tms, value, 401)
            login = {"username": "olivia", "password": "wrong", "csrfmiddlewaretoken": value}
            assert stranger.post("/login/", login, HTTP_COOKIE=f"{name}={value}").status_code in (200, 403), value


def test_a_hostile_cookie_beside_the_right_one_changes_nothing(client):
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    for value in COOKIES:
        if ";" not in value:
            assert client.get("/jobs/", HTTP_COOKIE=f"messages={value}; sessionid={session}").status_code == 200


ENCODINGS = (
    *(
        "hex",
        "base64",
        "rot13",
        "undefined",
        "idna",
        "punycode",
        "utf-16",
        "utf-7",
        "zip",
        "unicode_escape",
        "nonsense",
        "",
    ),
    *("utf-8", '"utf-8"', "UTF8", "iso-8859-1", "iso-8859-12", "windows-1252"),
)
CONTENT_TYPES = (
    *(f"text/plain; charset={encoding}" for encoding in ENCODINGS),
    *(f"application/x-www-form-urlencoded; charset={encoding}" for encoding in ENCODINGS),
    *(f"multipart/form-data; boundary=x; charset={encoding}" for encoding in ENCODINGS),
    *(f"multipart/form-data; charset={encoding}; boundary=x" for encoding in ENCODINGS),
    *(
        "text/plain; charset*=nonsense''x",
        "text/plain; charset*=utf-8''%00",
        "multipart/form-data; boundary*=nonsense''x",
    ),
    *(
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\xe9",
        ";;;",
        "\xff",
        "x" * 9999,
    ),
)
PART = b'--x\r\nContent-Disposition: form-data; name="username"\r\n\r\n\xff\xfea1\r\n--x--\r\n'


def test_no_content_type_breaks_a_request(databases):
    application = with_plain_content_type(WSGIHandler())
    for content_type, method in itertools.product(CONTENT_TYPES, ("GET", "POST")):
        request = RequestFactory().generic(method, "/login/?next=%ff", PART, HTTP_HOST="localhost")
        statuses = []
        environ = request.environ | {"CONTENT_TYPE": content_type}
        list(application(environ, lambda status, headers, _seen=statuses: _seen.append(status)))
        [status] = statuses
        assert status[:3] in ("200", "400", "403"), (content_type, method)


def test_a_form_in_another_usual_encoding_is_understood():
    seen = []
    application = with_plain_content_type(lambda environ, start: seen.append(environ["CONTENT_TYPE"]) or [])
    contents = (
        'multipart/form-data; boundary="a b"; charset=ISO-8859-1',
        "multipart/form-data; charset=utf-8; boundary=x",
        "text/csv",
        "",
    )
    for given in contents:
        application({"CONTENT_TYPE": given}, None)
    assert seen == [
        'multipart/form-data; boundary="a b"; charset=ISO-8859-1',
        "multipart/form-data; boundary=x; charset=utf-8",
        "text/csv",
        "",
    ]


def test_no_null_character_comes_in_by_query_or_cookie():
    seen = []
    request = RequestFactory().get("/?q=a%00b&%00=%2500", headers={"Cookie": 'a="\\000x"; b=y'})
    NoNulMiddleware(seen.append)(request)
    assert dict(seen[0].GET.items()) == {"q": "a\ufffdb", "\ufffd": "%00"}
    assert seen[0].COOKIES == {"a": "\ufffdx", "b": "y"}


# -- Queries and paths --------------------------------------------------------------------------------------------

GARBAGE = (
    *(
        "%00",
        "a%00b",
        "%ff",
        "%c0%af",
        "%ed%a0%80",
        "%F0%90%80",
        "%0d%0aX:y",
        "%",
        "%zz",
        "%25%00",
        "%E2%80%AE",
        "%1b[31m",
    ),
    *(
        "9" * 25,
        "-1",
        "0",
        "1e5",
        "1_0",
        "%D9%A1",
        "%C2%B2",
        "NaN",
        "None",
        "[]",
        "%22",
        "'%20OR%201=1",
        "x" * 5000,
        "",
    ),
)
QUERIES = (
    *("/jobs/?before=", "/jobs/?whose=", "/jobs/?", f"/jobs/{UUID}/?page=", "/api/jobs/mine?limit=", "/login/?next="),
    *("/api/audit/customer/a?limit=", "/health?", "/?", f"/attempts/{UUID}/?", f"/api/jobs/{UUID}?"),
    *("/admin/?", "/admin/jobs/job/?q=", "/admin/jobs/job/?p=", "/admin/jobs/job/?o=", "/admin/jobs/job/?user_id="),
    *("/admin/jobs/job/?since=", "/admin/jobs/job/?action_code__exact=", "/admin/jobs/job/?status__exact="),
    *(
        "/admin/jobs/job/?_to_field=",
        "/admin/jobs/jobcustomer/?job__id__exact=",
        "/admin/jobs/job/?x=",
        "/admin/jobs/job/?",
    ),
    *(
        "/admin/audit/attempt/?attempt_id=",
        "/admin/audit/attempt/?outcome__exact=",
        "/admin/audit/attempt/?is_open__exact=",
    ),
    *("/admin/audit/auditentry/?q=", "/admin/audit/auditentry/?action_type=", "/admin/audit/auditentry/?kind__exact="),
    *("/admin/auth/user/?q=", "/admin/auth/user/?groups__id__exact=", "/admin/login/?next="),
)
PATHS = (
    *("/{}", "/jobs/{}", "/jobs/{}/", "/api/{}", "/api/jobs/{}", "/api/jobs/{}/customers", "/api/audit/customer/{}"),
    *(
        "/attempts/{}/",
        "/attempts/{}/unknown.csv",
        "/static/{}",
        "/admin/{}/",
        "/admin/jobs/{}/",
        "/admin/jobs/job/{}/",
    ),
    *(
        "/admin/jobs/job/{}/change/",
        "/admin/audit/auditentry/{}/change/",
        "/admin/auth/user/{}/change/",
        "/admin/r/{}/1/",
    ),
)


def answers_to(client, targets):
    """The worst status for each target, and the targets that came to no good answer at all."""
    wrong = []
    for target in targets:
        path, _, query = target.partition("?")
        answer = client.get(path, QUERY_STRING=query)
        is_json = answer["Content-Type"] == "application/json"
        if answer.status_code >= 500 or (target.startswith(("/api/", "/health")) and not is_json):
            wrong.append((target, answer.status_code))
    return wrong


@pytest.mark.parametrize("part", range(4))
def test_no_query_breaks_a_page(adam, tms, part):
    make_job(job_id=uuid.UUID(UUID))
    targets = [query + garbage for garbage, query in itertools.product(GARBAGE, QUERIES)][part::4]
    assert answers_to(signed_in(adam), targets) == []
    assert tms.calls() == []


def test_no_path_breaks_the_site(adam, tms):
    targets = [path.format(garbage) for garbage, path in itertools.product(GARBAGE, PATHS)]
    assert answers_to(signed_in(adam), targets) == []
    assert answers_to(Client(), targets[::7]) == []
    assert tms.calls() == []


def test_no_limit_but_a_number_in_its_range_is_taken(client):
    for garbage in GARBAGE:
        for path in ("/api/jobs/mine", "/api/audit/customer/a1"):
            answer = client.get(f"{path}?limit={garbage}")
            assert (answer.status_code, list(answer.json()["errors"])) == (400, ["limit"]), garbage
