"""What people are told of: ends and pauses of batches, doubts and late timers, each once, and nothing secret."""

import json
import threading
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from audit.choices import Kind
from audit.tests.making import make_attempt
from jobs.batches import ledger
from jobs.models import Batch
from setactions.operations.notifications import events, outbox
from setactions.operations.notifications.events import Told
from tmsdash import timers
from tmsdash.models import Notice, NoticeWatch, TimerRun
from tmsdash.tests.fixtures import TOKEN
from tmsdash.tests.tools import at_once

pytestmark = pytest.mark.usefixtures("webhook")


@pytest.fixture(autouse=True)
def looked_before(webhook):
    """Somebody has looked before anything happened."""
    outbox.write_news()
    assert Notice.objects.count() == 0


def told():
    """What is told now and was not before."""
    before = set(Notice.objects.values_list("pk", flat=True))
    outbox.write_news()
    return [json.loads(notice.content) for notice in Notice.objects.exclude(pk__in=before).order_by("pk")]


def test_a_batch_that_is_done_is_told_once_with_what_became_of_it(make_batch, run, tms):
    tms.script("", "fault:http:400")
    batch = run(make_batch(count=6, size=2))
    [notice] = told()
    assert (notice["type"], notice["link"]) == ("batch.done", f"https://dashboard.example/batches/{batch.batch_id}/")
    assert notice["data"] == {
        "batch_id": str(batch.batch_id),
        "user": "olivia",
        "action": "PE-Enable",
        "cluster": "evian3",
        "customers": 6,
        "customers_by_state": {"accepted": 4, "rejected": 2},
        "reason": "",
    }
    assert notice["summary"] == (
        "The batch of olivia is done: PE-Enable for 6 customers on evian3 (4 accepted, 2 rejected by TMS)."
    )
    assert told() == []


def test_a_batch_that_ends_again_is_told_again(make_batch, run, tms):
    batch = run(make_batch(count=2, size=2))
    assert len(told()) == 1
    assert ledger.lease(batch, "another", 30)
    assert told() == []
    run_again = Batch.objects.get(pk=batch.pk)
    ledger.release(run_again, "another", "The server that ran it was stopped. Go on with your token.")
    [notice] = told()
    assert (notice["type"], notice["data"]["reason"]) == ("batch.stopped", "The server that ran it was stopped.")


def test_what_ended_before_anybody_looked_or_more_than_a_day_ago_is_no_news(make_batch, run):
    batch = run(make_batch(count=2, size=2))
    NoticeWatch.objects.all().delete()
    assert told() == []
    ended = Batch.objects.filter(pk=batch.pk)
    ended.update(ended_at=timezone.now() - timedelta(days=1, minutes=1))
    week_ago = (timezone.now() - timedelta(days=7)).isoformat()
    NoticeWatch.objects.update(told=Told(ended_until=week_ago).as_json())
    assert told() == []
    ended.update(ended_at=timezone.now() - timedelta(hours=23))
    NoticeWatch.objects.update(told=Told(ended_until=week_ago).as_json())
    assert len(told()) == 1


def test_many_ends_are_told_a_few_at_a_time_and_none_is_left_out(make_batch, monkeypatch):
    monkeypatch.setattr(events, "BATCHES_AT_ONCE", 2)
    for _ in range(5):
        batch = make_batch(count=2, size=2)
        assert ledger.lease(batch, "somebody", 30)
        assert ledger.stop(batch, "Stopped by oscar.")
    assert [len(told()) for _ in range(4)] == [2, 2, 1, 0]
    assert len({notice.notice_id for notice in Notice.objects.all()}) == 5


def test_a_pause_is_told_in_our_words_whoever_paused_and_once(make_batch, run, tms):
    tms.script("fault:unauthorized")
    batch = run(make_batch(count=4, size=2))
    assert batch.state == Batch.State.PAUSED
    [notice] = told()
    assert (notice["type"], notice["data"]["reason"]) == ("batch.paused", "TMS does not accept the token (HTTP 401).")
    assert told() == []
    by_hand = make_batch(count=3, size=1)
    assert ledger.lease(by_hand, "somebody", 30)
    assert ledger.pause(by_hand, "Paused by oscar.")
    assert [notice["data"]["reason"] for notice in told()] == ["Paused by oscar."]
    Batch.objects.filter(pk=batch.pk).update(state=Batch.State.RUNNING)
    assert told() == []
    Batch.objects.filter(pk=batch.pk).update(state=Batch.State.PAUSED)
    assert len(told()) == 1


@pytest.mark.pages
@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        (
            "5 chunks failed one after the other. The last one: c4711 is unknown.",
            "5 chunks failed one after the other.",
        ),
        ("The cluster keeps asking for fewer calls: c4711! Go on later.", "The cluster keeps asking for fewer calls."),
        ("Stopped by oscar.", "Stopped by oscar."),
        ("Stopped by oscar. c4711", "Its page says why."),
        ("c4711 is unknown", "Its page says why."),
        ("", ""),
    ],
)
def test_a_reason_is_told_without_what_may_be_tmss_words(reason, shown):
    assert events.reason_in_our_words(reason) == shown


def test_doubts_are_told_together_and_not_again_at_once(settings, monkeypatch):
    for number in range(3):
        make_attempt(Kind.UNKNOWN, cids=[f"c{number}"])
    make_attempt(Kind.ACCEPTED, cids=["other"])
    [notice] = told()
    assert (notice["type"], notice["link"]) == ("attempts.in_doubt", "https://dashboard.example/in-doubt/")
    assert notice["data"] == {"new": 3, "in_doubt": 3, "new_by_cluster": {"evian3.example": 3}}
    make_attempt(Kind.UNKNOWN, cids=["c3"])
    assert told() == []
    monkeypatch.setattr(events, "IN_DOUBT_EVERY", timedelta())
    [notice] = told()
    assert (notice["data"]["new"], notice["data"]["in_doubt"]) == (1, 4)
    assert told() == []


def test_a_late_timer_is_told_when_it_is_late_and_when_it_is_again(settings):
    long_ago = timezone.now() - timedelta(days=9)
    TimerRun.objects.create(name="backup", ended_at=long_ago, succeeded=True, succeeded_at=long_ago)
    [notice] = told()
    assert (notice["type"], notice["data"]["timer"]) == ("timer.late", "backup")
    assert "manage.py backup" in notice["summary"]
    assert notice["link"] == "https://dashboard.example/"
    assert told() == []
    timers.record("backup", succeeded=True)
    assert told() == []
    TimerRun.objects.filter(name="backup").update(succeeded_at=long_ago)
    assert len(told()) == 1


def test_two_who_look_at_once_tell_it_once(make_batch, run, monkeypatch):
    run(make_batch(count=2, size=2))
    look = events.look

    def look_together(told):
        found = look(told)
        both.wait()
        return found

    both = threading.Barrier(2, timeout=30)
    monkeypatch.setattr(events, "look", look_together)

    def tell(_):
        try:
            return outbox.write_news()
        finally:
            connections.close_all()

    assert sorted(at_once(2, tell)) == [0, 1]
    assert Notice.objects.count() == 1


def test_no_token_and_no_customers_id_is_in_anything_that_is_kept(make_batch, run, tms):
    tms.script("fault:unknown-ids:1", "fault:http:500", "fault:unauthorized")
    run(make_batch(count=6, size=2, note="for c1, ticket 7"))
    make_attempt(Kind.UNKNOWN, cids=["c4711"], message="c4711 is odd")
    stopped = make_batch(count=3, size=1)
    assert ledger.lease(stopped, "somebody", 30)
    assert ledger.stop(stopped, "5 chunks failed one after the other. The last one: c4711 is odd.")
    kept = "".join(notice["summary"] + json.dumps(notice["data"]) for notice in told())
    kept += "".join(NoticeWatch.objects.values_list("told", flat=True))
    assert "5 chunks failed one after the other." in kept
    assert not [secret for secret in (TOKEN, "c4711", "ticket", '"c0"', "c1,") if secret in kept]
