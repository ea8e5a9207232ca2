"""The question whether any batch may count at all never misses one that does, and reads no batch that does not."""

from datetime import timedelta
from itertools import product

import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from jobs.batches import overlap
from jobs.batches.overlap import batches_sharing, ended_batches, open_batches
from jobs.models import Batch
from jobs.tests.making import CLUSTER, make_batch

pytestmark = pytest.mark.usefixtures("databases")


def test_every_batch_that_is_open_or_ended_lately_may_count(settings):
    settings.TMS_DUPLICATE_WINDOW_S, settings.TMS_BATCH_LEASE_S = 600, 60
    batch, now = make_batch(), timezone.now()
    moments = [now + timedelta(seconds=seconds) for seconds in (-10_000, -300, -30, 30)]
    counted = 0
    for state, created_at, ended_at, until in product(Batch.State, moments, [None, *moments], [None, *moments]):
        times = {"created_at": created_at, "ended_at": ended_at, "runner_until": until}
        Batch.objects.filter(pk=batch.pk).update(state=state, **times)
        if open_batches().exists() or ended_batches().exists():
            counted += 1
            assert overlap._may_count()
    assert counted
    Batch.objects.update(state="done", created_at=moments[0], ended_at=moments[0], runner_until=moments[0])
    assert not overlap._may_count()
    assert batches_sharing(CLUSTER, 2, ["c0"]) == {}


def test_among_the_batches_of_years_those_that_count_are_found_through_indexes():
    make_batch()
    with CaptureQueriesContext(connections["jobs"]) as captured:
        batches_sharing(CLUSTER, 2, ["c0"])
    texts = [query["sql"] for query in captured.captured_queries]
    may_count, both = [plan_of(text) for text in texts if "ended_at >" in text or 'runner_until" >' in text]
    for plan, indexes in [
        (may_count, ["batch_unfinished", "batch_by_end", "batch_by_time"]),
        (both, ["batch_unfinished", "batch_by_time", "batch_by_end"]),
    ]:
        assert [index for index in indexes if index not in plan] == []
        assert "SCAN" not in plan.upper().replace("INDEX SCAN", "").replace("BITMAP HEAP SCAN", "")


def plan_of(text):
    with transaction.atomic(using="jobs"), connections["jobs"].cursor() as cursor:
        is_sqlite = cursor.db.vendor == "sqlite"
        if not is_sqlite:
            cursor.execute("SET LOCAL enable_seqscan = off")  # best for one row
        cursor.execute(f"EXPLAIN {'QUERY PLAN ' if is_sqlite else ''}{text}")
        return "\n".join(str(row[-1]) for row in cursor.fetchall())
