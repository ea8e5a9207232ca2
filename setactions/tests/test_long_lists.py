"""What long lists take of a process' memory, they take one after the other, but for the time in which TMS is asked."""

import gc
from functools import partial

import pytest
from django.http import HttpRequest

from audit import services as audit
from audit.choices import Outcome
from audit.models import Attempt
from jobs.models import Job
from setactions import service
from setactions.limits import turn_of_long_list
from tmsdash import heavy_work
from tmsdash.db.bulk import LONG_LIST
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import WAIT_S, Gate, threads, until

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


def test_who_waits_too_long_is_refused_and_nothing_was_sent(sending, monkeypatch, tms):
    monkeypatch.setattr(heavy_work, "WAIT_S", 0.1)
    with turn_of_long_list(LONG):
        result = sending(cids=long_list("a")).result(WAIT_S)
    assert (result.outcome, result.refusal_code) == (Outcome.REFUSED, 503)
    assert "long lists come first" in result.message
    assert Attempt.objects.get().outcome == Outcome.REFUSED
    assert tms.calls() == []
    assert sending(cids=long_list("b")).result(WAIT_S).job_recorded


def test_what_tms_answered_is_in_the_audit_at_once_and_its_job_is_made_in_turn(sending, tms, monkeypatch):
    monkeypatch.setattr(heavy_work, "RETURN_WAIT_S", WAIT_S)
    sent = sending(cids=long_list("a"), token="fault:slow:3600")
    tms.wait_for(lambda calls: len(calls) == 1, WAIT_S)
    with turn_of_long_list(LONG):
        tms.release()
        until(lambda: Attempt.objects.get().outcome == Outcome.ACCEPTED, WAIT_S)
        until(lambda: heavy_work._returning == 1, WAIT_S)
        assert not Job.objects.exists()
    assert sent.result(WAIT_S).job_recorded


def test_an_accepted_list_waits_for_no_turn_for_long(sending, tms, monkeypatch):
    monkeypatch.setattr(heavy_work, "RETURN_WAIT_S", 0.1)
    sent = sending(cids=long_list("a"), token="fault:slow:3600")
    tms.wait_for(lambda calls: len(calls) == 1, WAIT_S)
    with turn_of_long_list(LONG):
        tms.release()
        assert sent.result(WAIT_S).job_recorded


def test_a_read_with_a_long_body_keeps_no_long_list_waiting(sending, tms, olivia, fetch):
    body = {
        "url": f"{tms.url}/tms/v1/get/action?cid=a1",
        "token": "fault:slow:3600",
        "isPost": False,
        "x": "x" * 70_000,
    }
    with threads(1) as submit:
        read = submit(signed_in(olivia).post, "/proxy_fetch", body, content_type="application/json")
        tms.wait_for(lambda calls: len(calls) == 1, WAIT_S)
        assert sending(cids=long_list("a"), token=TOKEN).result(WAIT_S).job_recorded
        tms.release()
        assert read.result(WAIT_S).status_code == 200


def test_while_tms_is_asked_no_request_holds_its_body(tms, olivia, settings):
    settings.TMS_MAX_CIDS_PER_CALL = LONG
    payload = {"action": "PE-Enable", "cids": long_list("a")}
    body = {"url": f"{tms.url}/tms/v1/set/action", "token": "fault:slow:3600", "isPost": True, "postData": payload}
    with threads(1) as submit:
        client = signed_in(olivia, headers={"User-Agent": "long"})
        sent = submit(client.post, "/proxy_fetch", body | {"confirm": LONG}, "application/json")
        tms.wait_for(lambda calls: len(calls) == 1, WAIT_S)
        requests = [known for known in gc.get_objects() if issubclass(type(known), HttpRequest)]  # wakes no lazy one
        bodies = [vars(request).get("_body") for request in requests if request.headers.get("User-Agent") == "long"]
        tms.release()
        assert bodies == [b""]
        assert sent.result(WAIT_S).status_code == 200
