"""What a scrape of /metrics costs after years of use, with a long batch running: `manage.py bench metrics`."""

import os
import time
import uuid
from datetime import timedelta

from django.db import connections
from django.test import Client
from django.utils import timezone

from jobs.batches.creation import create_batch
from jobs.batches.lists import NewBatch, NewChunk
from jobs.models import Batch
from setactions.devtools.benchmarks import measurement
from setactions.devtools.benchmarks.installation import manage
from setactions.devtools.benchmarks.measurement import NOBODY, Comparison, scaled
from setactions.devtools.benchmarks.servers import new_cids, session_of
from setactions.operations import metrics_databases

JOBS, WAITING, CHUNK = 1_000_000, 1_000_000, 500  # jobs, and customers of the batch by the call
SCRAPES = 20  # in each round
JSON = "/api/jobs/mine?limit=50"
MAX_MS = 20.0


def metrics() -> bool:
    """Compare CPU of a scrape, as usual and when the past is counted again, with the JSON of User Jobs."""
    manage(os.environ, "fill_demo_data", f"--jobs={scaled(JOBS)}", quiet=True)
    connections.close_all()
    _make_batch(scaled(WAITING))
    cookie = f"sessionid={session_of('operator-0')}"
    client = Client(SERVER_NAME="127.0.0.1", headers={"cookie": cookie, "accept-encoding": "gzip"})
    for url in ("/metrics", JSON):  # once before it is measured
        _cpu_ms(client, url)
    usual: list[float] = []
    again: list[float] = []
    floor: list[float] = []
    for _ in range(measurement.rounds):
        usual.append(_cpu_ms(client, "/metrics"))
        again.append(_cpu_of_past_ms(client))
        floor.append(_cpu_ms(client, JSON))
    what = f"CPU of a scrape with {scaled(JOBS):,} jobs, {scaled(WAITING):,} customers waiting"
    passed = Comparison(usual, floor).report("metrics", what, JSON, bound=MAX_MS)
    what = f"{what}, a part of the past counted again"
    return Comparison(again, floor).report("metrics", what, JSON, bound=MAX_MS) and passed


def _make_batch(customers: int) -> None:
    """Make a batch that runs, of which nothing has been sent yet."""
    counts = [CHUNK] * (customers // CHUNK) + [customers % CHUNK] * bool(customers % CHUNK)
    chunks = [
        NewChunk(cluster_url=NOBODY, action_code=2, action_sent="PE-Enable", cids=new_cids(count)) for count in counts
    ]
    batch_id = uuid.uuid4()
    create_batch("operator-0", NewBatch(batch_id=batch_id, chunks=chunks))
    until = timezone.now() + timedelta(days=1)
    Batch.objects.filter(batch_id=batch_id).update(state=Batch.State.RUNNING, runner="bench", runner_until=until)


def _cpu_of_past_ms(client: Client) -> float:
    """Return the CPU of that part of the past which takes more: there are two, each with a scrape of its own."""
    parts_ms = [0.0, 0.0]
    for _ in range(SCRAPES):
        metrics_databases.expire()
        for number in range(len(parts_ms)):
            parts_ms[number] += _cpu_ms(client, "/metrics", count=1) / SCRAPES
    return max(parts_ms)


def _cpu_ms(client: Client, url: str, count: int = SCRAPES) -> float:
    """Return the CPU of this process for one answer, of several."""
    before = time.process_time()
    for _ in range(count):
        answer = client.get(url)
        if answer.status_code != 200:
            raise RuntimeError(f"{url}: HTTP {answer.status_code}")
    return (time.process_time() - before) / count * 1000
