"""What the pages of batches show of a batch, and which buttons they offer to whom."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from jobs.batches.selectors import Progress, Tally
from jobs.models import Batch, BatchChunk
from setactions.pages.batch_view import WITHOUT_UNKNOWN, BatchView
from tmsdash.web.paging import Page

State = BatchChunk.State
RUNNING, PAUSED, STOPPED, DONE = Batch.State.RUNNING, Batch.State.PAUSED, Batch.State.STOPPED, Batch.State.DONE


def view(state=DONE, *, live=False, owner=True, operator=True, repeated=0, **customers):
    """A batch of ten customers in this state, of whom some are in chunks of two in others: waiting=4, accepted=6."""
    batch = Batch(
        batch_id=uuid.uuid4(), state=state, customer_count=10, chunk_count=5, repeated=repeated, action_code=2
    )
    if live:
        batch.runner, batch.runner_until = "me", timezone.now() + timedelta(hours=1)
    tallies = tuple(Tally(State(name), count // 2, count) for name, count in customers.items())
    progress = Progress(tallies, set_aside=0)
    return BatchView(batch=batch, progress=progress, chunks=Page(rows=[]), may_control=operator, is_owner=owner)


def labels(controls):
    return [control.label for control in controls]


STOP = "Stop after the running calls"
RESUME = "Resume: 4 customers left in 2 chunks"


@pytest.mark.parametrize(
    ("shown", "controls", "reruns"),
    [
        (view(RUNNING, live=True, waiting=4), ["Pause", STOP], []),
        (view(RUNNING, live=True, owner=False, waiting=4), ["Pause", STOP], []),
        (view(RUNNING, live=True, operator=False, waiting=4), [], []),
        (view(PAUSED, live=True, waiting=4), [RESUME, STOP], []),
        (view(PAUSED, live=True, owner=False, waiting=4), [STOP], []),
        (view(PAUSED, waiting=4), ["Stop"], [RESUME]),
        (view(STOPPED, live=True, waiting=4, not_sent=2), [], [RESUME]),  # its last calls are still running
        (view(RUNNING, waiting=4, accepted=6), [], [RESUME]),  # its process is gone
        (view(STOPPED, owner=False, waiting=4), [], []),
        (view(STOPPED, operator=False, waiting=4), [], []),
        (view(waiting=4, not_sent=2, not_applied=2), [], [RESUME, "Run the rest: 8 customers"]),
        (view(accepted=8, set_aside=2), [], ["Run the rest without them: 2 customers"]),
        (
            view(accepted=6, not_sent=2, set_aside=2),
            [],
            ["Run the rest: 2 customers", "Run the rest without them: 4 customers"],
        ),
        (view(accepted=8, unknown=2), [], []),
        (view(accepted=8, rejected=2), [], []),
        (view(accepted=10), [], []),
    ],
)
def test_only_what_can_be_done_is_offered(shown, controls, reruns):
    assert (labels(shown.controls), labels(shown.reruns)) == (controls, reruns)


def test_one_button_stands_out_and_the_one_without_unknown_ids_says_so():
    assert [control.is_primary for control in view(waiting=4, not_sent=2, set_aside=2).reruns] == [True, False, False]
    rest, without_unknown = view(not_sent=2, set_aside=2).reruns
    assert (rest.is_primary, rest.field, without_unknown.field) == (True, "", WITHOUT_UNKNOWN)


@pytest.mark.parametrize(
    ("shown", "headline", "css"),
    [
        (view(accepted=10), "Done: TMS accepted every customer", "done"),
        (view(accepted=8, unknown=2), "Done: not every customer was accepted", "done partly"),
        (view(RUNNING, live=True, waiting=4), "Running", "running partly"),
        (view(RUNNING, waiting=4), "Stopped", "stopped partly"),
    ],
)
def test_the_headline_says_how_it_stands(shown, headline, css):
    assert (shown.headline, shown.css) == (headline, css)


def test_title_and_size_are_in_words():
    assert view().title == "PE-Enable for 10 customers on several clusters"
    assert view().size == "10 customers in 5 chunks"
    assert view(repeated=1).size == "10 customers in 5 chunks; 1 repeat left out"
