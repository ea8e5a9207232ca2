"""What long lists take of a process' memory, they take one after the other, but for the time in which TMS is asked."""

from functools import partial

import pytest

from audit import services as audit
from audit.choices import Outcome
from jobs.models import Job
from setactions import limits, service
from setactions.limits import turn_of_long_list
from tmsdash.db.bulk import LONG_LIST
from tmsdash.tests.tools import WAIT_S, Gate, threads

LONG = LONG_LIST + 1


def long_list(letter):
    return [f"{letter}{number:031x}" for number in range(LONG)]


@pytest.fixture
def sending(carry_out, settings):
    """Threads that send a list; `sending(cids=cids)` returns a future."""
    settings.TMS_MAX_CIDS_PER_CALL = LONG
    with threads(4) as submit:
        yield partial(submit, carry_out)


def test_a_long_list_is_written_while_no_other_one_is_and_a_short_one_waits_for_none(sending, monkeypatch):
    opened, gate, original = [], Gate(), audit.open_attempt

    def open_attempt(attempt_id, actor, intent, **options):
        opened.append(intent["cids"][0][0])
        if intent["cids"][0][0] == "a":
            gate.enter()
        return original(attempt_id, actor, intent, **options)

    monkeypatch.setattr(service.audit, "open_attempt", open_attempt)
    first = sending(cids=long_list("a"))
    gate.await_entry()
    second = sending(cids=long_list("b"))
    assert sending(cids=["c1"]).result(WAIT_S).job_recorded
    assert opened == ["a", "c"]
    gate.open()
    assert first.result(WAIT_S).job_recorded
    assert second.result(WAIT_S).job_recorded
    assert opened == ["a", "c", "b"]


def test_several_long_lists_are_with_tms_at_once(sending, tms):
    sent = [sending(cids=long_list(letter), token="fault:slow:3600") for letter in "abc"]
    tms.wait_for(lambda calls: len(calls) == len(sent), WAIT_S)
    tms.release()
    assert {future.result(WAIT_S).outcome for future in sent} == {Outcome.ACCEPTED}
    assert Job.objects.count() == len(sent)


def test_who_waits_too_long_for_the_others_goes_on(sending, monkeypatch):
    monkeypatch.setattr(limits, "LONG_LIST_WAIT_S", 0.1)
    with turn_of_long_list(LONG):
        assert sending(cids=long_list("a")).result(WAIT_S).job_recorded
    assert sending(cids=long_list("b")).result(WAIT_S).job_recorded
    assert not limits._long_list.locked()
