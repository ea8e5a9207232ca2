"""Calls in flight, counted by whoever writes the next INTENT, on PostgreSQL."""

from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from audit.choices import Kind, Outcome
from audit.in_flight import NoRoomError
from audit.models import Attempt
from audit.services import open_attempt, record_events
from audit.tests.making import make_attempt, make_request
from tmsdash.db import clock
from tmsdash.tests.tools import at_once

pytestmark = [pytest.mark.usefixtures("databases"), pytest.mark.postgresql]


def open_one(cid, at_most):
    request = make_request(cids=[cid])
    named = {"accepted_since": clock.now("audit"), "at_most": at_most, "wait_s": 20}
    try:
        return open_attempt(*request, **named)[0]
    finally:
        connections.close_all()


def try_one(cid, at_most):
    try:
        return open_one(cid, at_most)
    except NoRoomError:
        return None


def test_of_many_at_once_as_many_are_let_in_as_there_is_room_for():
    answers = at_once(12, lambda number: try_one(f"c{number}", 3))
    assert sum(answer is not None for answer in answers) == 3
    assert Attempt.objects.count() == 3
    known = next(answer for answer in answers if answer is not None)
    record_events(known.attempt_id, [(Kind.UNKNOWN, {"message": "Cut off."})], wait_s=20)  # open, but in flight no more
    assert open_one("d1", 3)
    assert try_one("d2", 3) is None


def test_an_attempt_whose_process_died_takes_no_room_once_its_call_is_certainly_over(settings):
    attempt = make_attempt(cids=["a1"])
    assert attempt.outcome == Outcome.PENDING
    assert try_one("b2", 1) is None
    Attempt.objects.update(created_at=timezone.now() - timedelta(seconds=settings.TMS_DEADLINE_S + 60))
    assert open_one("b2", 1)


def test_who_asks_for_an_attempt_that_was_made_already_gets_it_whatever_is_in_flight():
    request = make_request(cids=["a1"])
    named = {"accepted_since": clock.now("audit"), "at_most": 1, "wait_s": 20}
    [first, second] = [open_attempt(*request, **named) for _ in range(2)]
    assert (first[1], second[1], first[0].pk) == (True, False, second[0].pk)
