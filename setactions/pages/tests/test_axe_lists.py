"""axe-core looks at lists, batches, jobs, customers and the state of clusters, in every state."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.choices import Action, Kind
from audit.models import Attempt
from audit.tests.making import make_attempt
from jobs import views
from jobs.app_status import ledger as app_ledger
from jobs.app_status.tests.making import make_run
from jobs.batches import ledger
from jobs.models import Batch, BatchChunk
from jobs.tests.making import make_job
from setactions.pages import activity, batches, status
from setactions.pages.tests.batch_pages import start, started
from setactions.pages.tests.test_batch_repeats import press, stopped  # noqa: F401 (a fixture)
from setactions.pages.tests.test_given_answers import ADDRESS, give
from setactions.pages.tests.test_job_states import verify
from setactions.pages.tests.test_status_pages import STATUS, read_at
from setactions.resolving.tests.doubting import tms_does
from setactions.tms.clusters import cluster_named
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import until

pytestmark = [pytest.mark.chromium, pytest.mark.axe, pytest.mark.pages]
LISTS = ("/jobs/", "/activity/", "/batches/", "/in-doubt/", "/status/", "/apps/", "/customers/")


def test_lists_without_anything(accessible, operator):
    for path in LISTS:
        accessible(operator.get(path), "without anything")


def test_lists_with_filters(accessible, operator, adam, tms, make_batch, monkeypatch):
    monkeypatch.setattr(views, "JOBS_PER_PAGE", 3)
    monkeypatch.setattr(activity, "ENTRIES_PER_PAGE", 3)
    for number in range(4):
        make_job(cluster_url=tms.url)
        make_attempt(Kind.REJECTED, cids=[f"c{number}"], cluster_url=tms.url)
    young, owed = (make_attempt(*kinds, cids=["y"], cluster_url=tms.url) for kinds in ((), (Kind.ACCEPTED,)))
    for number in range(4):
        make_attempt(
            Kind.UNKNOWN, cids=[f"d{number}"], user_id="oscar" if number % 2 else "olivia", cluster_url=tms.url
        )
    Attempt.objects.exclude(pk__in=(young.pk, owed.pk)).update(created_at=timezone.now() - timedelta(days=2))
    batch = make_batch(count=5)
    for path in LISTS[:4]:
        accessible(signed_in(adam).get(f"{path}?whose=all"), "of everybody")
        accessible(page := operator.get(path), "with rows")
        if onward := page.context["page"].onward if "page" in page.context else "":
            accessible(operator.get(f"{path}{onward}" if onward.startswith("?") else onward), "older")
        accessible(operator.get(f"{path}?action=PE-Enable&since=2020-01-01"), "with a filter")
        accessible(operator.get(f"{path}?until=2020-01-01"), "with nothing that matches")
        wrong = operator.get(f"{path}?until=0001-01-01&action=99")
        accessible(wrong, "with a wrong filter", 200 if path == "/in-doubt/" else 400)  # which has no filters
    accessible(operator.get(f"/activity/?open={batch.batch_id}"), "with a batch folded out")


def test_batch(accessible, operator, oscar, audrey, tms, make_batch, run, small_chunks, monkeypatch):
    monkeypatch.setattr(batches, "CHUNKS_PER_PAGE", 4)
    tms.script("fault:unknown-ids:1", "fault:http:400", "fault:http:500")
    batch = run(make_batch(count=12))
    for client in (operator, signed_in(audrey)):
        accessible(client.get(f"/batches/{batch.batch_id}/"), "done, with problems")
    accessible(operator.get(f"/batches/{batch.batch_id}/?show=problems"), "its problems")
    accessible(press(operator, batch, "verify"), "checked")
    accessible(press(operator, batch, "resume", token="a b"), "with a token that is none", 400)
    batch = run(make_batch(count=4))
    accessible(operator.get(f"/batches/{batch.batch_id}/"), "done")
    accessible(press(operator, batch, "verify"), "done, checked")
    batch = make_batch(count=12)
    accessible(operator.get(f"/batches/{batch.batch_id}/"), "whose process is gone")
    accessible(operator.get(f"/batches/{batch.batch_id}/?page=2"), "its second page")
    assert ledger.lease(batch, "me", 600)
    BatchChunk.objects.filter(batch=batch, number__lt=2).update(state=BatchChunk.State.CALLING)
    for state in (Batch.State.RUNNING, Batch.State.PAUSED, Batch.State.STOPPED):
        Batch.objects.filter(pk=batch.pk).update(state=state, reason="olivia pressed a button.")
        accessible(operator.get(f"/batches/{batch.batch_id}/"), f"carried and {state}")
    accessible(signed_in(oscar).get("/batches/"), "none of one's own")


def test_batch_of_customers_sent_since(accessible, operator, small_chunks, stopped):  # noqa: F811
    accessible(operator.get(f"/batches/{stopped.batch_id}/"), "stopped")
    for verb in ("resume", "rest"):
        accessible(press(operator, stopped, verb), f"{verb} of customers sent since", 409)


def test_batch_that_is_paused_after_its_first(accessible, operator, tms, small_chunks, engine_at_rest):
    batch = started(start(operator, first_only="1"))
    until(lambda: Batch.objects.get().state == Batch.State.PAUSED)
    accessible(operator.get(f"/batches/{batch.batch_id}/"), "after its first customer")


def test_job(accessible, operator, tms, monkeypatch):
    monkeypatch.setattr(views, "CUSTOMERS_PER_PAGE", 5)
    tms_does(tms, "T-Enable", "a1", "b2")
    tms_does(tms, "PE-Enable", "c3")
    evian3 = cluster_named("evian3").origin
    job = make_job(cids=["a1", "b2", "c3", "d4"], action=Action.T_ENABLE, cluster_url=evian3, indexed=True)
    accessible(operator.get(f"/jobs/{job.job_id}/"), "not read yet")
    accessible(verify(operator, job, token="a b"), "with a token that is none", 400)
    accessible(verify(operator, job, token="fault:http:500"), "with a reading that failed", 502)
    accessible(verify(operator, job), "partly confirmed")
    accessible(operator.post(f"/jobs/{job.job_id}/rest/"), "its rest")
    long = make_job(cids=[f"c{number}" for number in range(12)], cluster_url="https://gone.example")
    accessible(operator.get(f"/jobs/{long.job_id}/"), "long, on a cluster that is gone")
    type(job).objects.filter(pk=job.pk).update(http_status=500)
    accessible(operator.get(f"/jobs/{job.job_id}/"), "changed")
    accessible(operator.get("/jobs/"), "with a changed one")


def test_customers(accessible, operator, tms):
    tms_does(tms, "T-Enable", "a1")
    for kinds in ((Kind.ACCEPTED, Kind.RECORDED), (Kind.UNKNOWN,), (Kind.REJECTED,)):
        make_attempt(*kinds, cids=["a1"], user_id="oscar" if kinds == (Kind.REJECTED,) else "olivia")
    accessible(operator.get("/customers/?cid=a1"), "found")
    accessible(operator.get("/customers/a1/"), "not read yet")
    accessible(operator.get("/customers/?cid=a1,b2,c3"), "several")
    accessible(operator.get("/customers/?cid=" + "x" * 300), "too long an id", 400)
    accessible(operator.get("/customers/unheard-of/"), "of whom nothing is known")
    for token, code in (("a b", 400), ("fault:http:500", 502), (TOKEN, 200)):
        read = operator.post("/read-customer/", {"cluster": "evian3", "cid": "a1", "token": token})
        accessible(read, "read", code)
    accessible(operator.get("/customers/?cid=a1,b2"), "several, one read")


def test_status_of_a_cluster(accessible, operator, audrey, tms, settings, monkeypatch):
    monkeypatch.setattr(status, "CUSTOMERS_PER_PAGE", 5)
    settings.TMS_PRODUCTION_CLUSTERS = ["evian3"]
    accessible(operator.get(STATUS), "not read yet")
    for token, code in (("a b", 400), ("fault:http:500", 502)):
        accessible(operator.post(f"{STATUS}read/", {"token": token}), "with a reading that failed", code)
    states = {f"c{number:03}": 2 + number % 5 for number in range(12)} | {"\n": 2}
    read_at(cluster_named("evian3"), timezone.now() - timedelta(hours=1), states)
    for query in ("", "?page=2", "?q=c00&state=2", "?q=nobody"):
        accessible(operator.get(f"{STATUS}{query}"), "read")
    for query in ("?action=99&sort=x&list=0", "?basis=T-Enable&action=3"):
        accessible(operator.get(f"{STATUS}{query}"), "with wrong filters", 400)
    accessible(signed_in(audrey).get(STATUS), "to an auditor")
    accessible(operator.post(f"{STATUS}list/", {"cids": "c001\nc002\nzz"}), "of a list")
    accessible(operator.post(f"{STATUS}list/", {}), "of no list", 400)
    accessible(give(operator, "{"), ADDRESS, 400)
    accessible(operator.get("/status/"), "read")


def test_app_status(accessible, operator, tms, monkeypatch):
    accessible(operator.post("/apps/start/", {"cluster": "evian3", "cids": "a b"}), "not begun", 400)
    run = make_run(cluster_url=tms.url)
    accessible(operator.get(f"/apps/{run.run_id}/"), "stopped")
    accessible(operator.post(f"/apps/{run.run_id}/resume/", {"token": "a b"}), "not resumed", 400)
    accessible(operator.get("/apps/"), "with runs")
    running = make_run(cluster_url=tms.url, is_over=False)
    accessible(operator.get(f"/apps/{running.run_id}/"), "running")
    operator.post(f"/apps/{running.run_id}/pause/")
    accessible(operator.get(f"/apps/{running.run_id}/"), "paused")
    app_ledger.release(running, "test", "The test has stopped it.")
