"""A connection to the audit that is gone raises InterfaceError, which is no DatabaseError: no page may miss it."""

from unittest import mock

import pytest
from django.db import InterfaceError, connections

from audit.choices import Kind
from audit.tests.making import make_attempt
from jobs.tests.making import make_job
from tmsdash.tests.fixtures import PASSWORD, signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.usefixtures("databases")


@pytest.fixture
def gone(monkeypatch):
    """Let the audit's connection be gone where a module of this name uses it."""

    def break_in(module, name):
        broken = mock.MagicMock(side_effect=InterfaceError("the connection is closed"))
        monkeypatch.setattr(f"{module}.{name}", broken)
        connections["audit"].ensure_connection()
        return broken

    return break_in


def is_dropped():
    return connections["audit"].connection is None


@pytest.mark.parametrize(
    ("module", "address"),
    [("audit.exports", "/admin/audit/attempt/export.csv"), ("audit.views", "/attempts/{}/evidence.zip")],
)
def test_an_export_is_refused(audrey, gone, module, address):
    attempt = make_attempt(Kind.REJECTED)
    client = signed_in(audrey)
    gone(module, "record_fact")
    answer = client.get(address.format(attempt.attempt_id))
    assert (answer.status_code, is_dropped()) == (503, True)
    assert "nothing was exported" in text_of(answer)


def test_user_jobs_are_listed_without_what_is_unfinished_or_in_doubt(olivia, gone):
    job = make_job()
    client = signed_in(olivia)
    gone("jobs.views", "has_open_attempts")
    gone("audit.in_doubt", "count")
    answer = client.get("/jobs/")
    assert (answer.status_code, is_dropped()) == (200, True)
    assert str(job.job_id) in answer.content.decode()


def test_nobody_is_kept_in_or_out(olivia, client, gone, caplog):
    gone("audit.accounts.sign_in", "record_fact")
    client.post("/login/", {"username": "olivia", "password": PASSWORD})
    assert client.get("/").status_code == 200
    client.post("/logout/")
    assert client.get("/").status_code == 302
    assert caplog.text.count("could not be written to the audit: the connection is closed") == 2
