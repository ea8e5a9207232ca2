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
from jobs.models import AppRun, AppRunCustomer, AppStatus
from jobs.tests.making import make_job
from setactions import liveness
from setactions.app_status import service
from setactions.app_status.tests.running import counts, now, reads
from setactions.live.reading import read_whole
from setactions.resolving.tests.doubting import tms_does
from setactions.tms.clusters import cluster_named
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import counted_queries, stored_bytes, text_of

pytestmark = pytest.mark.usefixtures("databases")
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
    *rows, total = numbers(page, "Customers by health")
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
    assert "No customers are listed: correct the filters" in text_of(page)
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


def test_a_pasted_list_is_read_in_the_background(client, tms, app_threads_at_rest):
    answer = client.post("/apps/start/", {"cluster": "evian3", "token": TOKEN, "cids": "a1\nb2\na1"})
    run = AppRun.objects.get()
    assert answer["Location"] == f"/apps/{run.run_id}/"
    app_threads_at_rest()
    run = now(run)
    assert (run.state, run.selection, run.user_id, run.runner) == ("done", "a pasted list", "olivia", "")
    assert reads(tms) == ["a1", "b2"]
    page = page_of(client, run)
    assert "2 of 2 customers read" in text_of(page)
    assert 'hx-get="/apps/' not in page.content.decode()
    assert TOKEN.encode() not in stored_bytes()


def test_the_customers_of_a_job_are_read(client, tms, app_threads_at_rest):
    job = make_job(cids=("b2", "a1"), cluster_url=tms.url)
    client.post("/apps/start/", {"job": job.job_id, "token": TOKEN})
    app_threads_at_rest()
    run = AppRun.objects.get()
    assert (run.job_id, run.selection, reads(tms)) == (job.job_id, f"customers of job {job.job_id}", ["b2", "a1"])
    assert f'href="/jobs/{job.job_id}/"' in page_of(client, run).content.decode()


def test_those_whom_the_page_of_live_states_shows_are_read(client, tms, app_threads_at_rest):
    tms_does(tms, "PE-Enable", "a1", "b2", "x3")
    tms_does(tms, "T-Enable", "a4")
    read_whole(cluster_named("evian3"), Token(TOKEN), "olivia")
    page = client.get("/status/evian3/?state=2&q=2").content.decode()
    form = page.split('action="/apps/start/"')[1].split("</form>")[0]
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))
    assert hidden.items() >= {("cluster", "evian3"), ("state", "2"), ("q", "2")}
    client.post("/apps/start/", hidden | {"token": TOKEN})
    app_threads_at_rest()
    assert reads(tms) == ["b2"]
    run = AppRun.objects.get()
    assert (run.selection, run.job_id) == ("all customers of evian3, in state PE-Enable, with 2 in their ids", None)


def test_those_of_a_job_in_a_state_are_read(client, tms, app_threads_at_rest):
    tms_does(tms, "PE-Enable", "a1", "b2")
    read_whole(cluster_named("evian3"), Token(TOKEN), "olivia")
    job = make_job(cids=("c3", "b2"), cluster_url=tms.url)
    assert "Read their apps" in text_of(client.get(f"/jobs/{job.job_id}/"))
    client.post("/apps/start/", {"job": job.job_id, "state": "2", "token": TOKEN})
    app_threads_at_rest()
    assert reads(tms) == ["b2"]
    assert AppRun.objects.get().job_id is None  # it says nothing of the job's other customers


@pytest.mark.parametrize(
    ("sent", "status", "sentence"),
    [
        ({"token": ""}, 400, "Enter your bearer token for this cluster."),
        ({"token": "two words"}, 400, "The token must have"),
        ({"cluster": ""}, 400, "Choose a cluster."),
        ({"cluster": "nonsense"}, 400, "Select one of the available choices."),
        ({"cids": ""}, 400, "The list is empty"),
        ({"cids": "a1\nb2\nc3\nd4"}, 400, "These are 4 customers, and the apps of 3 at most are read at once."),
        ({"cids": f"a1\n{TOKEN}"}, 400, "The bearer token is among the customer ids."),
        ({"job": "nonsense"}, 400, "There is no such job, or it belongs to somebody else."),
        ({"job": "00000000-0000-0000-0000-000000000000"}, 400, "There is no such job, or it belongs to somebody else."),
        ({"state": "2"}, 400, "There are no such customers."),
        ({"state": "nonsense"}, 400, "Select one of the states."),
        ({"list": "00000000-0000-0000-0000-000000000000"}, 400, "list"),
    ],
)
def test_a_run_that_cannot_begin_says_why(client, tms, settings, sent, status, sentence):
    settings.TMS_APP_STATUS_MAX = 3
    answer = client.post("/apps/start/", {"cluster": "evian3", "token": TOKEN, "cids": "a1"} | sent)
    assert answer.status_code == status
    assert sentence in text_of(answer)
    assert TOKEN not in answer.content.decode()
    assert not AppRun.objects.exists()
    assert tms.calls() == []


def test_another_users_job_is_not_read(tms, oscar, databases):
    job = make_job(cluster_url=tms.url)
    answer = signed_in(oscar).post("/apps/start/", {"job": job.job_id, "token": TOKEN})
    assert "There is no such job, or it belongs to somebody else." in text_of(answer)
    assert tms.calls() == []


def test_more_than_a_few_runs_at_once_are_refused(client, tms, databases, monkeypatch):
    monkeypatch.setattr("setactions.limits.APP_RUNS_AT_ONCE", 0)
    answer = client.post("/apps/start/", {"cluster": "evian3", "token": TOKEN, "cids": "a1"})
    assert answer.status_code == 503
    assert "app status runs are running here already" in text_of(answer)
    assert not AppRun.objects.exists()


def test_a_run_is_paused_resumed_and_stopped(client, run, databases, monkeypatch):
    run = make_run(is_over=False)
    monkeypatch.setattr(service, "has_living_runner", lambda run: True)
    address = f"/apps/{run.run_id}"
    page = page_of(client, run).content.decode()
    assert f'hx-get="{address}/progress/"' in page
    assert f'formaction="{address}/pause/"' in page
    client.post(f"{address}/pause/")
    assert (now(run).state, now(run).reason) == ("paused", "Paused by olivia.")
    assert f'formaction="{address}/resume/"' in page_of(client, run).content.decode()
    client.post(f"{address}/resume/")
    assert (now(run).state, now(run).reason) == ("running", "")
    client.post(f"{address}/stop/")
    assert (now(run).state, now(run).reason) == ("stopped", "Stopped by olivia.")
    assert "Go on: read 1 customer" in text_of(page_of(client, run))


def test_a_run_whose_process_died_says_so_and_goes_on_with_a_token(client, tms, app_threads_at_rest):
    run = make_run((("a1", (READY,)), ("b2", ())), is_over=False, cluster_url=tms.url)
    mark = liveness.RunnerMark()
    AppRun.objects.update(runner=mark.name)  # whose file nobody holds
    page = text_of(page_of(client, run))
    assert "Stopped The process that carried it is gone, and the token with it. What was read is kept" in page
    assert client.post(f"/apps/{run.run_id}/resume/").status_code == 400
    assert client.post(f"/apps/{run.run_id}/resume/", {"token": TOKEN}).status_code == 302
    app_threads_at_rest()
    assert (now(run).state, reads(tms)) == ("done", ["b2"])
    assert AppStatus.objects.filter(customer__cid="a1").count() == 1


def test_only_its_user_goes_on_with_a_run(run, oscar, tms):
    oscar.user_permissions.add(Permission.objects.get(codename="view_job"))
    answer = signed_in(oscar).post(f"/apps/{run.run_id}/resume/", {"token": TOKEN})
    assert (answer.status_code, tms.calls()) == (403, [])
    assert "This run belongs to olivia" in text_of(answer)


def test_customers_who_could_not_be_read_are_tried_once_more_on_request(client, tms, app_threads_at_rest):
    run = make_run((("a1", (READY,)), ("b2", ())), cluster_url=tms.url)
    ledger.note_failed(run.customers.get(cid="b2"), "HTTP 404 without a message.", for_good=True)
    AppRun.objects.update(state="done")
    page = text_of(page_of(client, run))
    assert "Done: not every customer could be read" in page
    assert "Go on: read 1 customer" in page
    client.post(f"/apps/{run.run_id}/resume/", {"token": TOKEN})
    app_threads_at_rest()
    assert (now(run).state, reads(tms)) == ("done", ["b2"])
    assert counts(run).get("failed") is None
    assert set(AppRunCustomer.objects.values_list("state", "problem")) == {("read", "")}


def test_what_tms_says_is_text_on_the_page(client, databases):
    nasty = App("<b>app</b>", "<i>status</i>", "<script>alert(1)</script>")
    page = page_of(client, make_run((("a1", (nasty,)),))).content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    for tag in ("<b>app", "<i>status", "<script>alert"):
        assert tag not in page
