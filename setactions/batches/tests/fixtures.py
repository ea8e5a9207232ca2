"""Fixtures for running batches in the test's own process."""

import threading

import pytest
from django.db import connections

from audit.actors import Actor
from audit.choices import Source
from jobs.batches import ledger
from jobs.models import Batch
from jobs.tests import making
from setactions.batches import afterwards, policy
from setactions.batches.runner import Runner
from setactions.batches.tests.commanding import CIDS
from setactions.tms.clusters import cluster_named
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN, signed_in


@pytest.fixture
def make_batch(tms, olivia):
    """Write a batch of olivia's: PE-Enable on evian3 for customers c0, c1, … in chunks."""

    def make(*, count=10, size=2, **changes):
        cids = [f"c{number}" for number in range(count)]
        return making.make_batch(cids=cids, size=size, clusters=(cluster_named("evian3").origin,), **changes)

    return make


@pytest.fixture
def run():
    """Carry a batch until its runner has nothing left to do, and return it as it is then."""

    def carry(batch, *, workers=1, token=TOKEN):
        runner = Runner(batch, Actor(user_id="olivia", source=Source.BATCH), Token(token), workers=workers)
        assert runner.lease()
        runner.run()
        after = Batch.objects.get(pk=batch.pk)
        connections.close_all()  # it may run in a thread of its own
        return after

    return carry


@pytest.fixture(autouse=True)
def unchecked(request, monkeypatch):
    """Batches end without a read, which tests would count as a call, unless a test uses `checked`."""
    monkeypatch.setattr(afterwards, "CHECK_AFTER_S", 0)  # TMS of the tests is done when it has answered
    if "checked" not in request.fixturenames:
        monkeypatch.setattr(afterwards, "is_done", lambda batch: False)


@pytest.fixture
def checked():
    """Batches are checked at their end."""


@pytest.fixture
def engine_at_rest(databases):
    """A function that returns when the server's engine carries nothing any more; nothing goes on into the next test."""

    def wait():
        for thread in threading.enumerate():
            if thread.name == "batch":
                thread.join(timeout=30)
                assert not thread.is_alive()

    yield wait
    for batch in Batch.objects.all():
        ledger.stop(batch, "The test is over.")
    wait()


@pytest.fixture
def ready(tms, olivia, settings, monkeypatch):
    """A token for the command, two customers in a call, and one call at once."""
    monkeypatch.setenv("TMS_TOKEN", TOKEN)
    monkeypatch.setattr(policy, "RECHECKS_S", (0, 0, 0))
    settings.TMS_BATCH_CHUNK = 2
    settings.TMS_BATCH_CALLS = 1


@pytest.fixture
def fleet(tmp_path):
    """A file of ten customers, or of those given."""

    def write(cids=CIDS, header="customer_id"):
        file = tmp_path / "fleet.csv"
        file.write_text("\n".join([header, *cids]) + "\n")
        return file

    return write


@pytest.fixture
def small_chunks(settings, engine_at_rest):
    """Chunks of two customers; more than three make a batch."""
    settings.TMS_BATCH_CHUNK, settings.TMS_MAX_CIDS_PER_CALL = 2, 3


@pytest.fixture
def operator(tms, olivia):
    return signed_in(olivia)
