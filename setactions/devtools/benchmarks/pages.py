"""What pages cost with 50 rows in each list: `manage.py bench pages`."""

import re
import uuid
from collections.abc import Iterator
from functools import partial

from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit.models import Attempt
from jobs.batches.creation import create_batch
from jobs.batches.lists import NewBatch, NewChunk
from jobs.models import Batch, BatchChunk, Job
from setactions.devtools.benchmarks import measurement
from setactions.devtools.benchmarks.measurement import Comparison, scaled
from setactions.devtools.benchmarks.servers import (
    Connection,
    Target,
    action_body,
    new_cids,
    product,
    settled_cpu_s,
    spent_cpu_s,
    stub_tms,
)

ROWS = 50
READS = 100  # in each round: the system counts CPU in hundredths of a second
JSON = f"/api/jobs/mine?limit={ROWS}"
LIMITS = {"/jobs/": 3.0}  # times the JSON
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}")


def pages() -> bool:
    """Compare each page and JSON answer, over all processes of a server, with the JSON of User Jobs; count queries.

    All of them are compressed, as for a browser.
    """
    with stub_tms(0) as tms, product({"bench": tms}, 1) as target:
        common = new_cids(1)
        with target.request() as connection:
            for _ in range(ROWS + 1):
                connection.post("/proxy_fetch", action_body(tms, common + new_cids(9), send_again=True))
        _make_batches(tms)
        User.objects.filter(username="operator-0").update(is_staff=True, is_superuser=True)
        urls = list(_urls(common[0]))
        client = Client(SERVER_NAME="127.0.0.1", headers={"cookie": f"sessionid={target.sessions[0]}"})
        queries = {url: _queries(client, url) for url in urls}
        with target.request(headers={"Accept-Encoding": "gzip"}) as connection:
            read = partial(_cpu_ms, target, connection, count=scaled(READS))
            samples: dict[str, list[float]] = {url: [] for url in urls}
            for url in (*urls, *urls):  # each once before it is measured
                connection.get(url)
            for _ in range(measurement.rounds):
                for url, values in samples.items():
                    values.append(read(url))
    passed = True
    for url in urls[1:]:  # all but the floor
        name = ID.sub("…", url)
        what = f"CPU of {name} ({queries[url]} queries)"
        passed &= Comparison(samples[url], samples[JSON]).report("pages", what, JSON, LIMITS.get(url))
    return passed


def _urls(cid: str) -> Iterator[str]:
    """Yield the addresses of the floor, of the other JSON answers, of all lists, and of one of what each list shows."""
    job, attempt, batch = Job.objects.latest("pk"), Attempt.objects.latest("pk"), Batch.objects.latest("pk")
    yield JSON
    yield reverse("api_job", args=[job.job_id])
    yield reverse("api_job_customers", args=[job.job_id])
    yield reverse("api_audit_customer", args=[cid])
    for name in (
        "health",
        "metrics",
        "new_action",
        "in_doubt",
        "job_list",
        "batch_list",
        "own_sessions",
        "admin:index",
    ):
        yield reverse(name)
    yield f"{reverse('activity')}?whose=all"  # without a word it leads to what was chosen last
    yield reverse("job_detail", args=[job.job_id])
    yield reverse("attempt", args=[attempt.attempt_id])
    yield reverse("batch", args=[batch.batch_id])
    yield reverse("customer", args=[cid])
    for model in admin.site._registry:
        yield reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def _make_batches(origin: str) -> None:
    """Make batches of one chunk each that count as done."""
    for _ in range(ROWS):
        chunk = NewChunk(cluster_url=origin, action_code=2, action_sent="PE-Enable", cids=new_cids(10))
        create_batch("operator-0", NewBatch(batch_id=uuid.uuid4(), chunks=[chunk]))
    BatchChunk.objects.update(state=BatchChunk.State.ACCEPTED)
    Batch.objects.update(state=Batch.State.DONE)


def _queries(client: Client, url: str) -> int:
    """Return how many statements a page sends to the databases, at its second call."""
    client.get(url)
    with (
        CaptureQueriesContext(connections["default"]) as users,
        CaptureQueriesContext(connections["jobs"]) as jobs,
        CaptureQueriesContext(connections["audit"]) as audit,
    ):
        answer = client.get(url)
    if answer.status_code != 200:
        raise RuntimeError(f"{url}: HTTP {answer.status_code}")
    return len(users) + len(jobs) + len(audit)


def _cpu_ms(target: Target, connection: Connection, url: str, *, count: int) -> float:
    before = settled_cpu_s(target.pid)
    for _ in range(count):
        connection.get(url)
    return spent_cpu_s(target.pid, before) / count * 1000
