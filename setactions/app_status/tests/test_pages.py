"""The pages of app status runs: every number adds up and leads to its customers."""

import csv
import io
import re
from html import unescape

import pytest
from django.contrib.auth.models import Permission

from jobs.app_status import ledger
from jobs.app_status.statuses import App
from jobs.app_status.tests.making import make_run
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import counted_queries, text_of

pytestmark = [pytest.mark.pages, pytest.mark.usefixtures("databases")]
READY, FAILED, MOVING = (
    App("alerts", "Ready"),
    App("alerts", "Failure", "3 of 120 records"),
    App("alerts", "Transiting"),
)
ODD = App("reports", "unknown-timeout", "no answer")
FLEET = (
    ("a1", (READY, App("reports", "Ready"))),
    ("b2", (READY, App("reports", "Inapplicable"))),
    ("c3", (FAILED, ODD)),
    ("d4", (MOVING,)),
    ("e5", (READY, ODD)),
    ("f6", ()),
    ("g7", ()),
)


@pytest.fixture
def client(olivia):
    return signed_in(olivia)


@pytest.fixture
def run(databases):
    """A run of which a customer could not be read, and another one was not read yet."""
    run = make_run(FLEET)
    ledger.note_failed(run.customers.get(cid="f6"), "HTTP 404 without a message.", for_good=True)
    ledger.note_failed(run.customers.get(cid="g7"), "HTTP 429 without a message.", for_good=False)
    return run


def page_of(client, run, query="", status=200):
    answer = client.get(f"/apps/{run.run_id}/{query}")
    assert answer.status_code == status
    return answer


def listed(page):
    """The customers in the table of a page, in order."""
    table = page.content.decode().split('id="customers-title"')[1]
    return re.findall(r'<a class="id" href="/customers/([^/"]+)/"', table)


def numbers(page, caption):
    """The rows of one of the tables with numbers: what stands in each cell, and where it leads."""
    [table] = [table for table in page.content.decode().split("<table") if f"{caption}</caption>" in table]
    rows = re.findall(r"<tr>(.*?)</tr>", table.split("</table>")[0].split("<tbody>")[1], re.DOTALL)
    cell = re.compile(r'<td data-label="([^"]+)"[^>]*>(?:<a href="([^"]+)">|<strong>|<span>)?\s*(.*?)</td>', re.DOTALL)
    return [
        [(label, unescape(address), re.sub("<[^>]*>", "", text).strip()) for label, address, text in cell.findall(row)]
        for row in rows
    ]


def test_customers_by_health_add_up_and_lead_to_them(client, run):
    page = page_of(client, run)
    *rows, total = numbers(page, "customers are in which health")
    shown = {row[0][2]: int(row[1][2]) for row in rows}
    assert shown == {
        "All ready": 2,
        "At least one failed": 1,
        "In transit or unknown": 2,
        "Not read yet": 1,
        "Could not be read": 1,
    }
    assert int(total[1][2]) == sum(shown.values()) == run.customer_count
    everybody = []
    for (_, _, _), (_, address, count) in rows:
        customers = listed(client.get(address))
        assert len(customers) == int(count)
        everybody += customers
    assert sorted(everybody) == [cid for cid, _ in FLEET]


def test_each_row_of_the_matrix_adds_up_to_those_who_were_read_and_leads_to_them(client, run):
    rows = numbers(page_of(client, run), "each status of each app")
    assert [[text for _, _, text in row] for row in rows] == [
        ["alerts", "3", "1", "1", "0", "0", "0"],
        ["reports", "1", "0", "0", "1", "2", "1"],
    ]
    for (_, _, app), *cells in rows:
        customers = []
        for label, address, count in cells:
            if int(count):
                page = client.get(address)
                assert len(listed(page)) == int(count), (app, label)
                customers += listed(page)
        assert sorted(customers) == ["a1", "b2", "c3", "d4", "e5"]


def test_a_customer_who_was_not_read_has_no_state_but_the_reason(client, run):
    page = text_of(page_of(client, run, "?health=waiting"))
    assert "Not read yet The last try failed: HTTP 429 without a message. not yet" in page
    page = text_of(page_of(client, run, "?health=failed"))
    assert "Could not be read HTTP 404 without a message. not yet" in page


def test_apps_are_shown_as_tms_spells_their_status_with_the_reason(client, run):
    page = text_of(page_of(client, run, "?health=failure"))
    assert "alerts Failure 3 of 120 records reports unknown-timeout no answer" in page
    assert re.search("e5 In transit or unknown reports unknown-timeout no answer 20", text_of(page_of(client, run)))


@pytest.mark.parametrize(
    ("query", "cids"),
    [
        ("?app=reports", "a1 b2 c3 e5"),
        ("?status=unknown", "c3 e5"),
        ("?status=Ready&health=ready", "a1 b2"),
        ("?app=reports&status=missing", "d4"),
        ("?q=E5", "e5"),
        ("?q=%25", ""),
        ("?app=alerts&status=Failure&q=a", ""),
    ],
)
def test_customers_are_filtered(client, run, query, cids):
    page = page_of(client, run, query)
    assert listed(page) == cids.split()
    assert cids or "No customer matches" in text_of(page)


@pytest.mark.parametrize(
    "query", ["?app=nonsense", "?status=nonsense", "?health=nonsense", "?status=missing", "?q=" + "x" * 129]
)
def test_filters_that_ask_for_nothing_that_there_is_are_named(client, run, query):
    page = page_of(client, run, query, status=400)
    assert "No customers are listed" in text_of(page)
    assert client.get(f"/apps/{run.run_id}/customers.csv{query}").status_code == 400


def test_the_csv_has_a_row_for_each_app_and_for_each_customer_without_one(client, run):
    answer = client.get(f"/apps/{run.run_id}/customers.csv")
    rows = list(csv.DictReader(io.StringIO(b"".join(answer).decode())))
    assert [(row["customer_id"], row["state"], row["health"], row["app"], row["status"]) for row in rows][4:] == [
        ("c3", "read", "failure", "alerts", "Failure"),
        ("c3", "read", "failure", "reports", "unknown-timeout"),
        ("d4", "read", "unsettled", "alerts", "Transiting"),
        ("e5", "read", "unsettled", "alerts", "Ready"),
        ("e5", "read", "unsettled", "reports", "unknown-timeout"),
        ("f6", "failed", "", "", ""),
        ("g7", "waiting", "", "", ""),
    ]
    assert (rows[4]["reason"], rows[-1]["problem"]) == ("3 of 120 records", "HTTP 429 without a message.")
    assert rows[4]["read_at"].endswith("+00:00")
    filtered = b"".join(client.get(f"/apps/{run.run_id}/customers.csv?app=alerts&status=Failure"))
    assert [row["app"] for row in csv.DictReader(io.StringIO(filtered.decode()))] == ["alerts"]


def test_customers_come_in_pages(client, databases):
    run = make_run([(f"c{number}", (READY,)) for number in range(101)])
    page = page_of(client, run, "?health=ready")
    assert len(listed(page)) == 100
    [onward] = re.findall(r'rel="next" href="([^"]+)"', page.content.decode())
    assert listed(client.get(unescape(onward))) == ["c100"]


def test_the_page_takes_a_dozen_queries_however_many_customers_it_shows(client, databases):
    run = make_run([(f"c{number}", (READY, ODD)) for number in range(100)])
    page_of(client, run)
    with counted_queries() as queries:
        page_of(client, run)
    assert len(queries) <= 14


def test_the_list_takes_a_dozen_queries_however_many_runs_it_shows(client, databases):
    for _ in range(51):
        make_run()
    client.get("/apps/")
    with counted_queries() as queries:
        page = client.get("/apps/")
    assert len(queries) <= 12
    assert 'rel="next"' in page.content.decode()


def test_who_sees_everybodys_jobs_sees_everybodys_runs(run, oscar, audrey):
    assert "A pasted list" not in text_of(signed_in(oscar).get("/apps/"))
    assert "A pasted list" in text_of(signed_in(audrey).get("/apps/"))
    oscar.user_permissions.add(Permission.objects.get(codename="view_job"))
    assert "A pasted list" not in text_of(signed_in(oscar).get("/apps/"))
    assert "A pasted list" in text_of(signed_in(oscar).get("/apps/?whose=all"))


def test_what_tms_says_is_text_on_the_page(client, databases):
    nasty = App("<b>app</b>", "<i>status</i>", "<script>alert(1)</script>")
    page = page_of(client, make_run((("a1", (nasty,)),))).content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    for tag in ("<b>app", "<i>status", "<script>alert"):
        assert tag not in page
