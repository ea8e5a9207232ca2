"""App status runs for tests, made by the ledger as in production."""

from jobs.app_status import ledger
from jobs.app_status.statuses import App
from jobs.models import AppRun
from jobs.tests.making import CLUSTER

APPS = (App("alerts", "Ready"), App("reports", "Inapplicable"))


def make_run(apps_of=(("a1", APPS), ("b2", ())), *, is_over=True, **changes):
    """A run of olivia's for some customers, each with what was read of them: nothing yet where there are no apps.

    Nobody carries it: it was stopped, unless it `is_over` not.
    """
    facts = {"user_id": "olivia", "cluster_url": CLUSTER, "selection": "A pasted list", "job_id": None}
    cids = [cid for cid, _ in apps_of]
    run = ledger.create(cids=cids, runner="test", lease_s=600, **facts | changes)
    for customer, (_, apps) in zip(run.customers.order_by("position"), apps_of, strict=True):
        if apps:
            ledger.keep_read(customer, apps)
    if is_over:
        ledger.release(run, "test", "The test has stopped it.")
    return AppRun.objects.get(pk=run.pk)
