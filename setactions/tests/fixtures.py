"""Fixtures for calling the service directly."""

import gc

import pytest

from audit import groups
from audit.actors import Actor
from audit.choices import Source
from setactions import recording, service
from setactions.inputs.ids import from_json
from setactions.operations import health
from setactions.payload import make_submission
from setactions.resolving import reconcile
from setactions.tms.clusters import cluster_named
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN


@pytest.fixture(autouse=True)
def nothing_proven_for_health(monkeypatch):
    """Whether the databases of the test before could be written says nothing of this one's."""
    for proof in health._proofs.values():
        monkeypatch.setattr(proof, "_ended_at", float("-inf"))


@pytest.fixture
def carry_out(tms, olivia):
    """Carry out PE-Enable for two customers as olivia."""

    def run(*, cids=("a1", "b2"), token=TOKEN, attempt_id=None, user=olivia, **kwargs):
        submission = make_submission(cluster_named("evian3"), "PE-Enable", from_json(list(cids)))
        return service.set_action(
            user=user,
            actor=Actor(user_id=user.get_username(), source=Source.COMMAND),
            submission=submission,
            token=Token(token),
            attempt_id=attempt_id,
            **kwargs,
        )

    return run


@pytest.fixture
def quick(monkeypatch):
    """Short waits for locks, so that tests of waits in vain are quick."""
    monkeypatch.setattr(service, "BEFORE_CALL_WAIT_S", 0.2)
    monkeypatch.setattr(recording, "AFTER_REPLY_WAIT_S", 0.4)
    monkeypatch.setattr(recording, "AUDIT_SHARE_S", 0.1)
    monkeypatch.setattr(groups, "FLUSH_WAIT_S", 0.2)


@pytest.fixture
def impatient(settings, monkeypatch):
    """Attempts are judged at once, with no time between two readings."""
    settings.TMS_OPEN_AFTER_S = settings.TMS_READBACK_INTERVAL_S = 0
    monkeypatch.setattr(reconcile, "INTERVAL_MARGIN_S", 0)


@pytest.fixture
def short_calls(settings):
    """A call to TMS takes 2 s at most."""
    settings.TMS_DEADLINE_S = 2


@pytest.fixture
def nobody_connected():
    """No connection is left open of a thread that has ended; Django's are closed when they are collected."""
    gc.collect()
