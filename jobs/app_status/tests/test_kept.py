"""For how long app status runs are kept."""

from datetime import timedelta

import pytest

from jobs.app_status import ledger
from jobs.app_status.statuses import App
from jobs.app_status.tests.making import make_run
from jobs.models import AppRun, AppRunCustomer, AppStatus
from tmsdash.db import clock

pytestmark = pytest.mark.usefixtures("databases")
OLD = ledger.KEPT + timedelta(days=1)


def age(run, by, **changes):
    at = clock.now("jobs") - by
    AppRun.objects.filter(pk=run.pk).update(created_at=at, ended_at=at, **changes)


def begin():
    named = {"user_id": "olivia", "cluster_url": "https://evian3.example", "selection": "a list", "job_id": None}
    return ledger.create(**named, cids=["z1"], runner="", lease_s=0)


def test_runs_that_ended_long_ago_go_with_what_was_read_when_others_begin():
    ready = (("a1", (App("nbi", "Ready"),)),)
    carried, old, older, last, young = [make_run(ready) for _ in range(5)]
    for run in old, older, last:
        age(run, OLD)
    age(carried, OLD, state="running", runner="elsewhere:1.2:0123", runner_until=clock.now("jobs") + timedelta(days=1))
    age(young, ledger.KEPT - timedelta(days=1))
    new = begin()
    assert [*AppRun.objects.order_by("pk")] == [carried, last, young, new]
    newest = begin()
    assert [*AppRun.objects.order_by("pk")] == [carried, young, new, newest]
    assert {*AppRunCustomer.objects.values_list("run", flat=True)} == {carried.pk, young.pk, new.pk, newest.pk}
    assert {*AppStatus.objects.values_list("run", flat=True)} == {carried.pk, young.pk}
