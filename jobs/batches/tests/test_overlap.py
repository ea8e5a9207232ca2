"""The question whether any batch may count at all never misses one that does."""

from datetime import timedelta
from itertools import product

import pytest
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
