"""Pages without a database that they can do without: every kind of error counts, and the connection is made anew."""

from contextlib import contextmanager

import pytest
from django.db import InterfaceError, OperationalError, connections

from audit.choices import Kind
from audit.models import Attempt
from audit.tests.making import make_attempt
from setactions.pages.tests.batch_pages import ledger_batch
from setactions.pages.tests.test_new_action import fill_in
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.usefixtures("databases", "tms")
# PostgreSQL's driver raises the second, which is no DatabaseError, where a connection is gone.
ERRORS = [OperationalError, InterfaceError]
by_error = pytest.mark.parametrize("error", ERRORS)


@contextmanager
def failing(alias, error):
    """Every statement on a database fails."""

    with connections[alias].execute_wrapper(lambda *_: fail(error)):
        yield
        assert connections[alias].connection is None  # dropped, so that the next request gets another


def fail(error):
    raise error("the connection is gone")


@pytest.fixture
def operator(olivia):
    client = signed_in(olivia, raise_request_exception=False)
    make_attempt(Kind.UNKNOWN)
    return client


@by_error
@pytest.mark.parametrize("alias", ["audit", "jobs"])
def test_the_form_comes_without_its_reminder(operator, alias, error):
    Attempt.objects.update(created_at="2026-01-01T00:00:00Z")
    assert "Outcome still unknown" in text_of(operator.get("/"))
    with failing(alias, error):
        page = operator.get("/")
    assert page.status_code == 200
    assert "Outcome still unknown" not in text_of(page)


@by_error
def test_user_jobs_come_without_what_is_unfinished(operator, error):
    assert "Unfinished" in text_of(operator.get("/jobs/"))
    with failing("audit", error):
        page = operator.get("/jobs/")
    assert page.status_code == 200
    assert "Unfinished" not in text_of(page)


@by_error
def test_the_review_page_comes_without_what_the_audit_holds_against_it(operator, error):
    with failing("audit", error):
        page = text_of(fill_in(operator))
    assert "Yes, Proceed" in page
    assert "Whether this was sent before cannot be told now" in page
    assert "Nothing has been sent yet" not in page


@by_error
def test_a_list_that_cannot_be_kept_for_its_review_stays_on_the_form(operator, error):
    with failing("jobs", error):
        page = fill_in(operator, cids="a1\nb2")
    assert (page.status_code, "nothing can be reviewed or sent" in text_of(page)) == (503, True)
    assert "a1\nb2" in page.content.decode()


@by_error
def test_a_batch_is_shown_as_its_own_database_has_it(operator, error):
    batch = ledger_batch()
    batch.chunks.update(state="unknown")
    with failing("audit", error):
        page = operator.get(f"/batches/{batch.batch_id}/")
    assert page.status_code == 200


@by_error
@pytest.mark.parametrize("path", ["/attempts/{}/", "/attempts/{}/evidence.zip", "/attempts/{}/all.csv"])
def test_what_rests_on_the_audit_says_that_a_database_does_not_answer(operator, path, error):
    attempt = Attempt.objects.get()
    with connections["audit"].execute_wrapper(lambda *_: fail(error)):
        page = operator.get(path.format(attempt.attempt_id))
    assert page.status_code == 503
    assert "A database does not answer" in text_of(page)
