"""What was shown of live state before a batch was started is in the INTENTs of its chunks, of whichever run."""

import uuid

import pytest

from audit.actors import Actor
from audit.choices import Source
from jobs.models import Batch
from setactions.batches.runs import Run
from setactions.pages.tests.batch_pages import CIDS, started, upload
from setactions.pages.tests.test_comparison import compared, intents
from setactions.pages.tests.test_new_action import hidden_fields, press
from setactions.resolving.tests.doubting import tms_does
from setactions.token import Token
from setactions.word import NO_WORD
from tmsdash.tests.fixtures import TOKEN
from tmsdash.tests.tools import text_of, until

pytestmark = pytest.mark.usefixtures("small_chunks")


def stopped_after_the_first(client, page):
    """A batch that sent one customer, and has no process any more."""
    batch = started(press(client, "start/", hidden_fields(page) | {"first_only": "1"}))
    until(lambda: Batch.objects.get().state == Batch.State.PAUSED)
    client.post(f"/batches/{batch.batch_id}/stop/")
    return batch


def test_a_later_run_finds_it_in_what_an_earlier_one_sent(operator, tms, engine_at_rest):
    tms_does(tms, "Trans-Begin", *CIDS)
    batch = stopped_after_the_first(operator, compared(operator, upload(operator)))
    engine_at_rest()
    [first] = intents()
    assert operator.post(f"/batches/{batch.batch_id}/resume/", {"token": TOKEN}).status_code == 302
    engine_at_rest()
    assert [intent["compared"] for intent in intents()] == [first["compared"]] * 4
    assert first["compared"]["counts"] == {"next": len(CIDS)}


def test_a_batch_that_was_not_compared_says_nothing_of_it_in_any_run(operator, tms, engine_at_rest):
    batch = stopped_after_the_first(operator, upload(operator))
    engine_at_rest()
    operator.post(f"/batches/{batch.batch_id}/resume/", {"token": TOKEN})
    engine_at_rest()
    assert [intent.get("compared") for intent in intents()] == [None] * 4


def test_it_crosses_the_queue_with_the_run():
    compared_ = {"read_at": "2026-11-29T12:00:00+00:00", "source": "tms", "read_for": "olivia", "counts": {"next": 7}}
    actor = Actor(user_id="olivia", ip_address="203.0.113.7", source=Source.BATCH)
    run = Run(uuid.uuid4(), "a run", actor, Token(TOKEN), NO_WORD, 2, compared=compared_)
    assert Run.unsealed(run.batch_id, run.name, run.sealed()).compared == compared_


@pytest.mark.parametrize("ticked", [{}, {"check_afterwards": "1"}])
def test_without_those_there_the_box_stays_as_it_was(operator, tms, ticked):
    tms_does(tms, "PE-Enable", CIDS[0])
    page = compared(operator, upload(operator))
    rest = press(operator, "leave-out-there/", hidden_fields(page) | ticked)
    assert "6 customers, read from TMS" in text_of(rest)
    assert ('value="1" checked' in rest.content.decode()) == bool(ticked)
