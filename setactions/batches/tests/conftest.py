"""Fixtures for running batches in the test's own process."""

import uuid

import pytest
from django.db import connections

from jobs import ledger
from setactions.batches.runner import Origin, Runner
from setactions.clusters import cluster_named
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN


@pytest.fixture
def make_batch(tms, olivia, settings):
    """Write a batch of olivia's: PE-Enable on evian3 for customers c0, c1, … in chunks."""
    settings.TMS_BATCH_LEASE_S, settings.TMS_BATCH_CALLS = 60, 2

    def make(*, count=10, size=2, batch_id=None, first_only=False):
        cids = [f"c{number}" for number in range(count)]
        starts = [0, 1, *range(1 + size, count, size)] if first_only else range(0, count, size)
        parts = [cids[start:end] for start, end in zip(starts, [*starts[1:], count], strict=True)]
        batch, _ = ledger.create_batch(
            batch_id=batch_id or uuid.uuid4(),
            user_id="olivia",
            file_name="fleet.csv",
            list_digest="0" * 64,
            repeated=0,
            first_only=first_only,
            chunks=[
                ledger.NewChunk(
                    cluster_url=cluster_named("evian3").origin, action_code=2, action_sent="PE-Enable", cids=part
                )
                for part in parts
            ],
        )
        return batch

    return make


@pytest.fixture
def run(settings):
    """Carry a batch until its runner has nothing left to do, and return it as it is then."""

    def carry(batch, *, workers=1, token=TOKEN):
        runner = Runner(batch, Origin(user_id="olivia", source="batch"), Token(token), workers=workers)
        assert runner.take()
        runner.run()
        connections.close_all()
        batch.refresh_from_db()
        return batch

    return carry
