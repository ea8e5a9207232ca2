"""App status for scripts: asked for again and again until it is there."""

import threading
from datetime import timedelta

import pytest

from jobs.app_status import ledger
from jobs.app_status.statuses import App
from jobs.app_status.tests.making import make_run
from jobs.models import AppRun
from jobs.tests.making import make_job
from setactions.app_status import service
from setactions.app_status.selection import customers_of_job
from setactions.app_status.tests.running import now, reads
from setactions.token import Token
from tmsdash.db import clock
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import at_once, stored_bytes

pytestmark = pytest.mark.usefixtures("databases")


@pytest.fixture
def job(tms, olivia):
    return make_job(cids=("a1", "b2"), cluster_url=tms.url)


@pytest.fixture
def ask(olivia, job):
    """Ask for the app status of the job's customers as olivia's script does, with a token unless it is None."""

    def get(token=TOKEN, job_id=job.job_id, user=olivia):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return signed_in(user).get(f"/api/jobs/{job_id}/appstatus", headers=headers)

    return get


def earlier(run, seconds):
    AppRun.objects.filter(pk=run.pk).update(ended_at=clock.now("jobs") - timedelta(seconds=seconds))


def test_without_a_token_it_is_what_was_read_last(ask, job, tms):
    answer = ask(token=None)
    assert (answer.status_code, answer.json()["state"], answer.json()["customers"]) == (200, None, [])
    apps = (App("alerts", "Failure", "3 of 120 records"),)
    make_run((("a1", apps), ("b2", ())), job_id=job.job_id, cluster_url=tms.url)
    body = ask(token=None).json()
    assert (body["success"], body["state"], body["customer_count"]) == (True, "stopped", 2)
    assert {code: count for code, count in body["counts"].items() if count} == {"failure": 1, "waiting": 1}
    assert body["apps"]["alerts"]["Failure"] == 1
    [first, second] = body["customers"]
    assert first["apps"] == [{"app_name": "alerts", "status": "Failure", "reason": "3 of 120 records"}]
    assert (first["health"], second["health"], second["state"]) == ("failure", None, "waiting")
    assert tms.calls() == []


def test_with_a_token_its_customers_are_read_once_and_then_shown(ask, app_threads_at_rest, tms):
    assert ask().status_code == 202
    app_threads_at_rest()
    answer = ask()
    body = answer.json()
    assert (answer.status_code, body["state"], [c["customer_id"] for c in body["customers"]]) == (
        200,
        "done",
        ["a1", "b2"],
    )
    assert body["counts"]["waiting"] == body["counts"]["failed"] == 0
    assert reads(tms) == ["a1", "b2"]
    assert TOKEN.encode() not in stored_bytes()


def test_scripts_that_ask_at_once_share_one_run(olivia, job, app_threads_at_rest, monkeypatch):
    both_have_looked = threading.Barrier(2)

    def selected(of_job):
        both_have_looked.wait(60)
        return customers_of_job(of_job)

    monkeypatch.setattr(service, "customers_of_job", selected)
    begun = at_once(2, lambda _: service.run_for_script(user=olivia, job=job, token=Token(TOKEN)))
    app_threads_at_rest()
    assert len(set(begun)) == AppRun.objects.count() == 1


def test_what_was_read_long_ago_is_read_anew(ask, app_threads_at_rest, tms):
    ask()
    app_threads_at_rest()
    earlier(AppRun.objects.get(), service.FRESH_S + 1)
    assert ask().status_code == 202
    app_threads_at_rest()
    assert reads(tms) == ["a1", "b2"] * 2


def test_a_run_that_goes_on_is_shown_as_far_as_it_is(ask, job, tms, monkeypatch):
    monkeypatch.setattr(service, "has_living_runner", lambda run: True)
    make_run((("a1", (App("alerts", "Ready"),)), ("b2", ())), job_id=job.job_id, cluster_url=tms.url, is_over=False)
    for token in (TOKEN, None):
        answer = ask(token)
        assert (answer.status_code, answer["Retry-After"]) == (202, "10")
        assert answer.json()["counts"]["ready"] == 1
    assert tms.calls() == []


def test_a_token_that_is_not_taken_is_the_reason_and_another_one_goes_on(ask, app_threads_at_rest, tms):
    ask("fault:unauthorized")
    app_threads_at_rest()
    answer = ask()
    assert (answer.status_code, answer.json()["state"]) == (200, "stopped")
    assert answer.json()["reason"].startswith("evian3 could not be read: ")
    earlier(AppRun.objects.get(), service.STOPPED_FOR_S + 1)
    assert ask().status_code == 202
    app_threads_at_rest()
    assert now(AppRun.objects.get()).state == "done"


def test_what_cannot_be_read_is_refused_in_json(ask, job, oscar, audrey, tms, settings):
    assert ask(user=oscar).status_code == 404
    assert ask(user=audrey).status_code == 403
    assert ask(token=None, user=audrey).status_code == 200
    assert ask("two words").json()["errors"].keys() == {"token"}
    settings.TMS_APP_STATUS_MAX = 1
    answer = ask()
    assert (answer.status_code, answer.json()["outcome"]) == (413, "refused")
    assert "the apps of 1 at most" in answer.json()["message"]
    assert not AppRun.objects.exists()
    ledger.create(
        user_id="oscar", cluster_url=tms.url, selection="x", cids=["a1"], job_id=job.job_id, runner="", lease_s=0
    )
    assert ask(token=None).json()["run_id"] is None  # a colleague's
