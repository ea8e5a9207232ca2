"""The look at what TMS shows at the end of a batch that went through the queue."""

import json

import pytest

from jobs.batches.scopes import Scope
from jobs.models import JobConfirmation
from setactions.batches import queued
from setactions.batches.tests.queue.queueing import ACTOR, now
from setactions.resolving.tests.doubting import reads
from setactions.token import Token
from tmsdash.broker import QUEUE
from tmsdash.tests.fixtures import TOKEN

pytestmark = [pytest.mark.usefixtures("databases", "engine", "checked"), getattr(pytest.mark, "redis-server")]


def carried(batch, workers, *, check):
    """Carry a batch to its end; returns the arguments of the tasks that were sent to check it."""
    queued.start(batch, ACTOR, Token(TOKEN), Scope.WAITING, check=check)
    checks = []
    while workers.server.client.llen(QUEUE):
        name = json.loads(workers.server.client.lindex(QUEUE, -1))["headers"]["task"]
        task = workers.take()
        if name == queued.check.name:
            checks.append(task)
        else:
            workers.do(task)
    assert now(batch).state == "done"
    return checks


def test_a_batch_that_is_done_is_checked_by_one_task(make_batch, workers, tms):
    batch = make_batch(count=6, size=2)
    [task] = carried(batch, workers, check=True)
    assert TOKEN not in str(task)
    assert reads(tms) == []
    queued.check(**task)
    assert reads(tms) == [("ALL",)]
    assert [row.confirmed for row in JobConfirmation.objects.all()] == [2, 2, 2]


def test_without_the_tick_none_is_sent(make_batch, workers):
    assert carried(make_batch(count=2), workers, check=False) == []


def test_a_check_whose_token_cannot_be_unsealed_any_more_reads_nothing(make_batch, workers, tms, settings, caplog):
    [task] = carried(make_batch(count=2), workers, check=True)
    settings.TOKEN_KEY = "another key that is long enough for it"
    queued.check(**task)
    assert reads(tms) == []
    assert "not checked: the token could not be unsealed" in caplog.text
