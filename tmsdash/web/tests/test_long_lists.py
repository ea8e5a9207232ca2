"""Lists of the admin over more rows than anybody counts."""

import html
import json
import re

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from audit.choices import Kind
from audit.models import Attempt, AuditEntry
from audit.tests.making import make_attempt, refuse
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of
from tmsdash.web import long_lists

pytestmark = pytest.mark.usefixtures("databases")

PATH = "/admin/audit/attempt/"


@pytest.fixture
def auditor(audrey, monkeypatch):
    """A client of an auditor, whose lists look at five rows, two on a page."""
    monkeypatch.setattr(long_lists, "MOST", 5)
    monkeypatch.setattr("audit.admin.AttemptAdmin.list_per_page", 2)
    return signed_in(audrey)


def refused(count):
    """So many attempts, the first of the most customers; their keys."""
    return [refuse(cids=[f"c{n}" for n in range(count - number)]).pk for number in range(count)]


def listed(answer):
    """The keys of the rows of a page, in their order."""
    assert answer.status_code == 200, answer.headers
    return [row.pk for row in answer.context["cl"].result_list]


def address_of(answer, words):
    """The address of a link with these words; "" if there is none."""
    match = re.search(rf'<a [^>]*href="([^"]*)"[^>]*>(?:‹ )?{words}(?: [›×<]|</a>)', answer.content.decode())
    return PATH + html.unescape(match[1]) if match else ""


def test_a_list_is_read_to_its_end_page_by_page_and_counted_honestly(auditor):
    pks = refused(12)
    seen, answer = [], auditor.get(PATH)
    assert "more than 5 attempts" in text_of(answer)
    assert address_of(answer, "Further rows") == ""
    while True:
        seen += listed(answer)
        if following := address_of(answer, "Next"):
            answer = auditor.get(following)
        elif further := address_of(answer, "Further rows"):
            answer = auditor.get(further)
            assert address_of(answer, "First rows") == PATH + "?"
        else:
            break
    assert seen == pks[::-1]
    assert "2 further attempts" in text_of(answer)


def test_a_list_with_the_oldest_first_goes_on_with_younger_ones(auditor):
    pks = refused(7)
    answer = auditor.get(PATH, {"o": "0", "p": "3"})
    assert listed(answer) == pks[4:5]
    assert listed(auditor.get(address_of(answer, "Further rows"))) == pks[5:]


def test_what_narrows_a_continued_list_begins_at_its_first_row(auditor):
    pks = refused(7)
    answer = auditor.get(PATH, {"id__lt": str(pks[3])})
    assert listed(answer) == [pks[2], pks[1]]
    for words in ("Last 30 days", "JSON lines"):
        assert address_of(answer, words).startswith(PATH)
        assert "id__lt" not in address_of(answer, words)
    assert 'name="id__lt"' not in answer.content.decode()  # of the forms for a search and for filters
    assert "id__lt" in address_of(answer, "Next")


def test_few_rows_can_be_sorted_by_any_column(auditor):
    pks = refused(5)
    assert listed(auditor.get(PATH, {"o": "5"})) == [pks[4], pks[3]]
    assert listed(auditor.get(PATH, {"o": "5", "p": "3"})) == [pks[0]]
    assert listed(auditor.get(PATH, {"o": "-5"})) == [pks[0], pks[1]]


def test_many_rows_stay_in_their_order_and_the_page_says_why(auditor):
    pks = refused(6)
    answer = auditor.get(PATH, {"o": "-5"})
    assert listed(answer) == [pks[5], pks[4]]
    assert "More than 5 rows match, too many to sort by that. Filter them first." in text_of(answer)


@pytest.mark.parametrize(("page", "is_there"), [("3", True), ("4", False), ("0", False), ("x", True)])
def test_a_page_that_is_not_there_leads_back_to_the_list(auditor, page, is_there):
    refused(9)
    answer = auditor.get(PATH, {"p": page})
    assert (answer.status_code, answer.headers.get("Location")) == ((200, None) if is_there else (302, f"{PATH}?e=1"))


def test_few_rows_can_be_shown_on_one_page(auditor):
    pks = refused(5)
    assert listed(auditor.get(PATH, {"all": ""})) == pks[::-1]
    assert address_of(auditor.get(PATH), "Show all on one page") == f"{PATH}?all="
    refused(1)
    assert len(listed(auditor.get(PATH, {"all": ""}))) == 2


def test_an_export_holds_what_the_list_does_not_show(auditor):
    refused(7)
    assert len(b"".join(auditor.get(f"{PATH}export.jsonl")).splitlines()) == 7


def test_an_export_that_begins_behind_a_key_says_so_in_the_audit(auditor):
    pks = refused(7)
    assert len(b"".join(auditor.get(f"{PATH}export.jsonl", {"id__lt": str(pks[2])})).splitlines()) == 2
    [body] = AuditEntry.objects.filter(kind=Kind.EXPORTED).values_list("body", flat=True)
    assert json.loads(body)["filters"]["id__lt"] == str(pks[2])


@pytest.mark.parametrize("path", [PATH, "/admin/audit/auditentry/", "/admin/jobs/job/", "/admin/jobs/batch/"])
@pytest.mark.parametrize("query", [{}, {"time": "all"}, {"q": "olivia"}, {"user_id": "olivia", "o": "1"}])
def test_a_page_counts_no_rows_and_skips_none(auditor, path, query):
    make_attempt(Kind.ACCEPTED)
    with CaptureQueriesContext(connections["audit"]) as audit, CaptureQueriesContext(connections["jobs"]) as jobs:
        assert auditor.get(path, query).status_code == 200
    statements = [statement["sql"] for statement in (*audit, *jobs) if "_day" not in statement["sql"]]
    assert not [sql for sql in statements if "OFFSET" in sql]
    assert not [sql for sql in statements if sql.startswith("SELECT COUNT(*)") and "LIMIT" not in sql]


@pytest.mark.parametrize("term", ["olivia", "a1", "nobody"])
def test_a_search_asks_for_a_user_and_for_a_customer_one_after_the_other(auditor, term):
    make_attempt(Kind.ACCEPTED)
    for path in (PATH, "/admin/audit/auditentry/", "/admin/jobs/job/"):
        with CaptureQueriesContext(connections["audit"]) as audit, CaptureQueriesContext(connections["jobs"]) as jobs:
            auditor.get(path, {"q": term})
        assert not [statement["sql"] for statement in (*audit, *jobs) if " OR " in statement["sql"]]


def test_a_user_who_is_called_like_a_customer_is_found_along_with_it(auditor):
    first, second = make_attempt(Kind.ACCEPTED, user_id="a1", cids=("x",)), make_attempt(Kind.ACCEPTED)
    assert listed(auditor.get(PATH, {"q": "a1"})) == [second.pk, first.pk]
    assert Attempt.objects.count() == 2


@pytest.mark.parametrize("path", [PATH, "/admin/audit/auditentry/", "/admin/jobs/job/", "/admin/jobs/batch/"])
@pytest.mark.parametrize(
    "days",
    [
        {"until": "9999-12-31"},
        {"since": "0001-01-01"},
        {"until": "0001-01-01"},
        {"since": "0001-01-01", "until": "9999-12-31"},
        {"since": "9999-12-31", "until": "0001-01-01"},
    ],
)
def test_periods_from_the_first_day_that_there_is_to_the_last_are_listed(auditor, path, days):
    make_attempt(Kind.ACCEPTED)
    assert auditor.get(path, days).status_code == 200
