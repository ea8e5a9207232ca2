"""Errors in our own words, as JSON for scripts and as a page for people; and what /health tells."""

import sys
import uuid

import pytest
from django.db import connections
from django.test import Client
from django.views.debug import ExceptionReporter
from django.views.decorators.debug import sensitive_variables

from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import table_missing, text_of


def assert_json(answer, code, words):
    """The answer is a refusal in JSON that says so."""
    body = answer.json()
    assert answer.status_code == code
    assert words in body["message"]
    assert body == {
        "status": "error",
        "outcome": "refused",
        "attempt_id": None,
        "message": body["message"],
        "errors": {"request": [body["message"]]},
        "job_id": None,
        "request_id": answer["X-Request-ID"],
    }


def assert_page(answer, code, words):
    """The answer is our page, not Django's or the server's, and says so."""
    assert answer.status_code == code
    assert answer["Content-Type"] == "text/html; charset=utf-8"
    assert "error.html" in [template.name for template in answer.templates]
    assert words in text_of(answer)
    assert f"HTTP status {code}. To find it in the log: request id {answer['X-Request-ID']}" in text_of(answer)
    assert "Traceback" not in text_of(answer)


def quiet(client):
    """Let the client answer errors as a server would."""
    client.raise_request_exception = False
    return client


# -- 400, 403, 404, 500 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("somebody", [True, False])
def test_400(olivia, somebody):
    client = signed_in(olivia) if somebody else Client()
    headers = {"Host": "evil.example"}
    assert_json(client.get("/api/jobs/mine", headers=headers), 400, "The request could not be understood.")
    assert_page(client.get("/jobs/", headers=headers), 400, "The request could not be understood.")


def test_403(audrey):
    assert_page(signed_in(audrey).post("/review/"), 403, "Your account may not do this. Ask an administrator")


@pytest.mark.parametrize("somebody", [True, False])
def test_404(olivia, somebody):
    client = signed_in(olivia) if somebody else Client()
    assert_json(client.get("/api/nonsense"), 404, "There is no such page, or it belongs to somebody else.")
    assert_page(client.get("/nonsense/"), 404, "There is no such page, or it belongs to somebody else.")


@pytest.mark.parametrize("path", ["/jobs/not-a-uuid/", "/jobs/../etc/passwd", "/%00", "/jobs/%F0%9F%99%82/", "/a b/"])
def test_no_path_breaks_the_site(olivia, path):
    assert_page(signed_in(olivia).get(path), 404, "There is no such page")


@pytest.mark.parametrize(("alias", "table"), [("jobs", "jobs_job"), ("default", "tmsdash_session")])
def test_a_database_that_fails_is_a_503_and_a_fault_of_ours_a_500(olivia, alias, table):
    """A missing table is a broken file to SQLite and a wrong statement to PostgreSQL."""
    client = quiet(signed_in(olivia))
    is_sqlite = connections[alias].vendor == "sqlite"
    expected = (503, "A database does not answer.") if is_sqlite else (500, "Something went wrong on our side.")
    with table_missing(alias, table):
        assert_json(client.get("/api/jobs/mine"), *expected)
        assert_page(client.get("/jobs/"), *expected)


@pytest.mark.sqlite
def test_a_file_that_is_no_database_is_a_503(olivia, monkeypatch, tmp_path):
    client = quiet(signed_in(olivia))
    (tmp_path / "jobs.db").write_bytes(b"no database at all" * 1000)
    connections["jobs"].close()
    with monkeypatch.context() as patch:
        patch.setitem(connections["jobs"].settings_dict, "NAME", str(tmp_path / "jobs.db"))
        assert_json(client.get("/api/jobs/mine"), 503, "A database does not answer.")
        assert_page(client.get("/jobs/"), 503, "A database does not answer.")
        connections["jobs"].close()
    assert client.get("/jobs/").status_code == 200


@pytest.mark.parametrize("path", ["/api/jobs/mine", f"/api/jobs/{uuid.uuid4()}", "/api/audit/customer/a1", "/health"])
def test_what_is_only_read_says_so_in_json(olivia, path):
    answer = signed_in(olivia).post(path)
    assert_json(answer, 405, "Use GET.")
    assert answer["Allow"] == "GET, HEAD"
    assert_json(signed_in(olivia).delete(path), 405, "This address takes GET, HEAD, POST, OPTIONS only.")


# -- Forms without a security token -------------------------------------------------------------------------------

NO_TOKEN = "The form's security token is missing or out of date. Nothing was sent to TMS."


def test_a_post_without_a_csrf_token_is_a_403_in_our_words(fetch, olivia, tms):
    client = signed_in(olivia, enforce_csrf_checks=True)
    assert_json(fetch(client=client), 403, NO_TOKEN)
    assert_page(client.post("/review/", {"cids": "x"}), 403, NO_TOKEN)
    assert tms.calls() == []


def test_who_is_not_signed_in_hears_that_first(fetch, tms):
    assert_json(fetch(client=Client(enforce_csrf_checks=True)), 401, "Sign in first.")
    assert tms.calls() == []


def test_a_script_with_the_token_of_its_cookie_gets_through(fetch, olivia, tms):
    client = signed_in(olivia, enforce_csrf_checks=True)
    client.get("/jobs/")
    client.defaults["HTTP_X_CSRFTOKEN"] = client.cookies["csrftoken"].value
    assert fetch(client=client).status_code == 200
    assert len(tms.calls()) == 1


# -- Error reports ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("debug", [True, False])
def test_an_error_report_hides_the_token_even_when_debugging(settings, debug):
    settings.DEBUG = debug

    @sensitive_variables("token")
    def fail(token):
        raise ZeroDivisionError

    try:
        fail(TOKEN)
    except ZeroDivisionError:
        report = ExceptionReporter(None, *sys.exc_info())
    # The frame of this test is part of the report, and its source shows TOKEN by name only.
    assert "ZeroDivisionError" in report.get_traceback_text()
    assert TOKEN not in report.get_traceback_text() + report.get_traceback_html()


# -- /health ------------------------------------------------------------------------------------------------------


@pytest.fixture
def health(databases):
    def get():
        answer = Client().get("/health")
        return answer.status_code, answer.json()

    return get


HEALTHY = (200, {"status": "healthy", "service": "TMS Dashboard"})


def test_health_is_open_to_all_and_never_cached(databases):
    answer = Client().get("/health")
    assert (answer.status_code, answer.json()) == HEALTHY
    assert "no-cache" in answer["Cache-Control"]
    assert Client().head("/health").status_code == 200
    assert Client().post("/health").status_code == 405


@pytest.mark.parametrize("allowed", [["dash.example"], [".dash.example"], ["*"], ["[::1]"]])
@pytest.mark.parametrize("host", ["10.0.0.7:8000", "evil.example", "[fe80::1]", "not a host", ""])
def test_health_answers_under_every_name(databases, settings, allowed, host):
    settings.ALLOWED_HOSTS = allowed
    answer = Client().get("/health", headers={"Host": host})
    assert (answer.status_code, answer.json()) == HEALTHY
    assert Client().get("/login/", headers={"Host": "10.0.0.7"}).status_code == (200 if allowed == ["*"] else 400)


@pytest.mark.parametrize("alias", ["default", "jobs", "audit"])
def test_health_names_a_database_without_tables(health, alias):
    with table_missing(alias, "django_migrations"):
        assert health() == (503, {"status": "unhealthy", "service": "TMS Dashboard", "databases": alias})
    assert health() == HEALTHY


def test_health_names_every_database_that_does_not_answer(health):
    with table_missing("jobs", "django_migrations"), table_missing("audit", "django_migrations"):
        assert health()[1]["databases"] == "jobs, audit"


@pytest.mark.sqlite
@pytest.mark.parametrize("content", [None, b"", b"no database at all" * 1000])
@pytest.mark.parametrize("alias", ["default", "jobs", "audit"])
def test_health_names_a_database_whose_file_is_gone_or_broken(health, monkeypatch, tmp_path, alias, content):
    path = tmp_path / "folder" / "file.db"  # without content even its folder is gone
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)
    connections[alias].close()
    with monkeypatch.context() as patch:
        patch.setitem(connections[alias].settings_dict, "NAME", str(path))
        assert health() == (503, {"status": "unhealthy", "service": "TMS Dashboard", "databases": alias})
        connections[alias].close()
    assert health() == HEALTHY
