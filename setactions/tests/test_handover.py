"""What a form sends is carried out by a thread of the server: its page says so meanwhile, and nothing is lost."""

import threading

import pytest
from django.db import OperationalError

from audit import services as audit
from audit.choices import Outcome
from audit.models import Attempt
from jobs.models import Job
from setactions import handover
from setactions.pages.tests.test_new_action import fill_in, proceed
from tmsdash import heavy_work
from tmsdash.db.bulk import LONG_LIST
from tmsdash.server.shared import Cell, mine
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import WAIT_S, stored_bytes, text_of

PLANTED = "planted-secret-token-9876543210"
SLOW = "fault:slow:3600"  # until the simulator is released


@pytest.fixture
def operator(tms, olivia):
    return signed_in(olivia)


@pytest.fixture
def at_once(monkeypatch, tms):
    """Nobody waits for what is sent. Returns a function that lets TMS answer, and waits until all is written."""
    monkeypatch.setattr(handover, "WAIT_S", 0)

    def end():
        tms.release()
        for thread in threading.enumerate():
            if thread.name == "send":
                thread.join(WAIT_S)

    yield end
    end()


@pytest.mark.pages
def test_the_page_says_that_it_is_being_sent_until_the_answer_is_there(operator, tms, at_once, caplog):
    tms.script(SLOW)
    sent = proceed(operator, fill_in(operator, token=PLANTED))
    assert sent.status_code == 302
    tms.wait_for(lambda calls: len(calls) == 1)
    page, part = operator.get(sent.url), operator.get(f"{sent.url}progress/")
    for shown in (page, part):
        assert "The first call to a quiet cluster often takes 10 to 18 seconds." in text_of(shown)
        assert 'data-every-s="1"' in shown.content.decode()
    assert "<title>Being sent – PE-Enable" in page.content.decode()
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in page.content.decode()
    assert not Job.objects.exists()
    at_once()
    for shown in (operator.get(sent.url), operator.get(f"{sent.url}progress/")):
        assert 'class="note outcome accepted"' in shown.content.decode()
        assert "refresh" not in shown.content.decode()
        assert "data-every-s" not in shown.content.decode()
    assert str(Job.objects.get().job_id) in sent.url
    assert PLANTED not in caplog.text + page.content.decode()
    assert PLANTED.encode() not in stored_bytes()


def test_its_page_is_led_to_whether_or_not_a_database_answers_meanwhile(operator, tms, at_once, monkeypatch):
    def fail(*_):
        raise OperationalError("the connection is gone")

    review = fill_in(operator, token=SLOW)
    with monkeypatch.context() as patch:
        patch.setattr("setactions.results.signed_jobs", fail)
        assert proceed(operator, review).url.startswith("/attempts/")
    tms.wait_for(lambda calls: len(calls) == 1)
    at_once()
    assert Job.objects.count() == 1


def test_what_is_out_keeps_its_place_and_gives_it_back(operator, tms, at_once, settings):
    settings.TMS_MAX_IN_FLIGHT = 1
    before = mine[Cell.CALLS]
    assert proceed(operator, fill_in(operator, token=SLOW)).status_code == 302
    tms.wait_for(lambda calls: len(calls) == 1)
    assert mine[Cell.CALLS] == before + 1
    other = fill_in(operator, cids="c3")
    busy = proceed(operator, other)
    assert (busy.status_code, "too many calls are in flight" in text_of(busy)) == (503, True)
    at_once()
    assert mine[Cell.CALLS] == before
    assert proceed(operator, other).status_code == 302
    at_once()


def test_a_long_list_gives_its_turn_back_whoever_had_it(operator, tms, at_once, settings):
    settings.TMS_MAX_CIDS_PER_CALL = settings.TMS_CONFIRM_ABOVE = 2 * LONG_LIST
    review = fill_in(operator, cids="\n".join(f"{number:032x}" for number in range(LONG_LIST + 1)), token=SLOW)
    with heavy_work.turn():  # as the middleware has it for a long body
        assert proceed(operator, review).status_code == 302
        tms.wait_for(lambda calls: len(calls) == 1)
    at_once()
    assert Job.objects.get().customers.count() == LONG_LIST + 1
    assert not heavy_work._is_taken


def test_a_turn_that_was_detached_is_given_back_by_whoever_took_it_over_and_by_nobody_else():
    with heavy_work.turn():
        had_turn = heavy_work.detach()
    assert heavy_work._is_taken
    with heavy_work.attached(had_turn), heavy_work.turn():
        assert heavy_work._is_taken
    assert not heavy_work._is_taken
    assert not heavy_work.detach()


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_without_a_thread_nothing_is_sent_and_that_is_said(operator, tms, at_once, monkeypatch, error):
    start = threading.Thread.start

    def refuse(thread):
        if thread.name == "send":
            raise error
        start(thread)

    review, before = fill_in(operator), mine[Cell.CALLS]
    monkeypatch.setattr(threading.Thread, "start", refuse)
    page = text_of(operator.get(proceed(operator, review).url))
    assert handover.NO_THREAD in page
    assert Attempt.objects.get().outcome == Outcome.NOT_SENT
    assert (tms.calls(), mine[Cell.CALLS], Job.objects.count()) == ([], before, 0)


def test_that_nothing_was_sent_is_written_later_if_the_audit_does_not_take_it(operator, monkeypatch, unfinished):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    def fail(*_, **__):
        raise OperationalError("database is locked")

    review = fill_in(operator)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        patch.setattr(audit, "record_events", fail)
        assert proceed(operator, review).status_code == 302
    [recorder] = unfinished
    recorder._write_events(WAIT_S)
    assert Attempt.objects.get().outcome == Outcome.NOT_SENT


def test_pressed_again_while_it_is_out_it_leads_to_the_same_page_and_so_does_its_review(operator, tms, at_once):
    review = fill_in(operator, token=SLOW)
    address = proceed(operator, review).url
    tms.wait_for(lambda calls: len(calls) == 1)
    assert proceed(operator, review).url == address  # a double click
    assert operator.get(review.request["PATH_INFO"]).url == address  # Back, or a reload
    at_once()
    assert (len(tms.calls()), Job.objects.count()) == (1, 1)
