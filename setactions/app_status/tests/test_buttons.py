"""What begins app status runs, and what the buttons on their pages do."""

import re
import threading

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
from tmsdash.server.shared import Cell, mine
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import stored_bytes, text_of

pytestmark = pytest.mark.usefixtures("databases")
READY = App("alerts", "Ready")


@pytest.fixture
def client(olivia):
    return signed_in(olivia)


def page_of(client, run):
    return client.get(f"/apps/{run.run_id}/")


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
    assert "data-every-s" not in page.content.decode()
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
    assert run.selection.endswith("customers of evian3, in state PE-Enable, with 2 in their ids")
    assert run.job_id is None


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
        ({"token": "two words"}, 400, "There is a space within the token"),
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


def test_a_run_for_which_there_is_no_thread_says_so_and_takes_no_room(client, databases, monkeypatch):
    start, before = threading.Thread.start, mine[Cell.APP_RUNS]

    def refuse(thread):
        if thread.name == service.THREAD_NAME:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    answer = client.post("/apps/start/", {"cluster": "evian3", "token": TOKEN, "cids": "a1"})
    assert (answer.status_code, mine[Cell.APP_RUNS]) == (503, before)
    assert service.NO_THREAD in text_of(answer)
    run = AppRun.objects.get()
    assert (run.state, run.reason, run.runner) == (AppRun.State.STOPPED, service.NO_THREAD, "")


def test_a_run_is_paused_resumed_and_stopped(client, monkeypatch):
    run = make_run(is_over=False)
    monkeypatch.setattr(service, "has_living_runner", lambda run: True)
    address = f"/apps/{run.run_id}"
    page = page_of(client, run).content.decode()
    assert f'data-live="{address}/progress/"' in page
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


def test_only_its_user_goes_on_with_a_run(oscar, tms):
    run = make_run()
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
