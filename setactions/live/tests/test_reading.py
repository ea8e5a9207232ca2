"""Reading live state: one read for everybody, and failures that change nothing."""

from datetime import timedelta

import pytest
from django.utils import timezone

from jobs.live import pace, states
from jobs.live.codes import NO_ACTION, UNREADABLE
from jobs.live.states import states_of
from jobs.models import LiveCluster, LiveReading
from setactions.live import reading
from setactions.live.reading import read_one, read_whole
from setactions.reads import ReadingFailedError, codes_in
from setactions.refusal import Refusal
from setactions.resolving.tests.doubting import reads, tms_does
from setactions.tms.clusters import cluster_named
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN
from tmsdash.tests.tools import at_once, threads, until

pytestmark = pytest.mark.usefixtures("databases")
VIEWERS = 20


@pytest.fixture
def evian3(tms):
    tms_does(tms, "PE-Enable", "a1", "b2")
    return cluster_named("evian3")


def whole(cluster, token=TOKEN, user_id="olivia"):
    return read_whole(cluster, Token(token), user_id)


def codes(cluster, *cids):
    return {cid: state.code for cid, state in states_of(cluster.origin, cids).by_cid.items()}


def later(monkeypatch):
    """From now on no reading is fresh."""
    monkeypatch.setattr(reading, "FRESH_S", -60)


def test_a_whole_reading_tells_the_state_of_every_customer(evian3):
    shown = whole(evian3)
    assert (shown.customer_count, shown.user_id, shown.problem) == (2, "olivia", "")
    assert codes(evian3, "a1", "b2", "c3") == {"a1": 2, "b2": 2, "c3": NO_ACTION}


def test_a_newer_whole_reading_replaces_states_and_drops_those_that_it_does_not_list(evian3, tms, monkeypatch):
    whole(evian3)
    later(monkeypatch)
    tms.reset()
    tms_does(tms, "T-Enable", "b2", "c3")
    whole(evian3)
    assert codes(evian3, "a1", "b2", "c3") == {"a1": NO_ACTION, "b2": 3, "c3": 3}


def test_a_reading_of_one_customer_counts_until_a_whole_one_that_began_later(evian3, tms, monkeypatch):
    whole(evian3)
    tms_does(tms, "T-Enable", "a1")
    alone = read_one(evian3, "a1", Token(TOKEN), "oscar")
    known = states_of(evian3.origin, ["a1", "b2"])
    assert (known.by_cid["a1"].code, known.by_cid["a1"].reading) == (3, alone)
    assert known.oldest == known.whole
    # One that began before, and took longer, knows less.
    slow = LiveReading(cluster_url=evian3.origin, asked="ALL", user_id="olivia")
    slow.began_at, slow.ended_at = alone.began_at - timedelta(microseconds=1), timezone.now()
    states.keep_whole(slow, {"a1": 2, "b2": 4})
    assert codes(evian3, "a1", "b2") == {"a1": 3, "b2": 4}
    later(monkeypatch)
    newest = whole(evian3)
    assert states_of(evian3.origin, ["a1"]).by_cid["a1"].reading == newest


def test_a_customer_who_is_not_listed_alone_is_looked_for_in_the_list_of_all(evian3, tms):
    read_one(evian3, "zz", Token(TOKEN), "olivia")
    assert codes(evian3, "zz", "a1") == {"zz": NO_ACTION, "a1": 2}
    assert reads(tms) == [("zz",), ("ALL",)]


def test_a_customer_called_all_cannot_be_read_alone(evian3, tms):
    tms_does(tms, "T-Enable", "ALL")
    shown = read_one(evian3, "ALL", Token(TOKEN), "olivia")
    assert (shown.customer_count, codes(evian3, "ALL", "a1")) == (3, {"ALL": 3, "a1": 2})
    assert whole(evian3) == shown
    assert reads(tms) == [("ALL",)]


def test_what_can_be_no_id_has_no_state(evian3):
    whole(evian3)
    assert codes(evian3, "a\0b", "a1") == {"a\0b": NO_ACTION, "a1": 2}


def test_nothing_is_known_of_a_cluster_or_customers_that_were_never_read(evian3):
    assert states_of(evian3.origin, ["a1"]).unread == ("a1",)
    read_one(evian3, "a1", Token(TOKEN), "olivia")
    assert states_of(evian3.origin, ["a1", "b2"]).unread == ("b2",)


@pytest.mark.parametrize(
    "fault", ["http:500", "http:429", "half-body", "reset-before", "html", "empty-list", "empty-object"]
)
def test_a_reading_that_failed_is_cut_off_or_empty_changes_no_state(evian3, tms, monkeypatch, fault):
    whole(evian3)
    later(monkeypatch)
    monkeypatch.setattr(pace, "_asked_wait_s", lambda _: 0)
    with pytest.raises(ReadingFailedError, match=r"^evian3 .*\."):
        whole(evian3, f"fault:{fault}")
    assert codes(evian3, "a1", "b2") == {"a1": 2, "b2": 2}
    assert LiveReading.objects.first().problem
    with pytest.raises(ReadingFailedError):
        read_one(evian3, "a1", Token(f"fault:{fault}"), "olivia")
    assert codes(evian3, "a1", "b2") == {"a1": 2, "b2": 2}


def test_viewers_of_a_cluster_at_once_cause_one_read(evian3, tms):
    readings = at_once(VIEWERS, lambda number: whole(evian3, user_id=f"viewer{number}"))
    assert len(set(readings)) == 1
    assert reads(tms) == [("ALL",)]


def test_who_comes_while_another_process_reads_waits_for_its_reading(evian3, tms):
    other = reading._lead(evian3)
    with threads() as submit:
        waiting = submit(whole, evian3)
        until(lambda: reading._line[evian3.origin].locked())
        shown = LiveReading(cluster_url=evian3.origin, asked="ALL", user_id="oscar")
        shown.began_at = shown.ended_at = timezone.now()
        reading.keep_given(shown, {"a1": 4}, evian3)
        assert waiting.result(60) == shown
    assert reads(tms) == []
    reading._release(evian3, other)


def test_a_reader_that_died_is_followed_when_its_time_is_over(evian3, tms):
    reading._lead(evian3)
    LiveCluster.objects.update(reader_until=timezone.now() - timedelta(seconds=1))
    assert whole(evian3).customer_count == 2


def test_a_token_that_is_not_taken_fails_only_for_its_user(evian3, tms, monkeypatch):
    asked_at = timezone.now()
    with pytest.raises(ReadingFailedError) as failed:
        whole(evian3, "fault:unauthorized")
    assert failed.value.bad_token
    assert reading._newest_since(evian3, asked_at) is None
    assert whole(evian3).customer_count == 2


def test_who_waited_for_a_reading_that_failed_is_told_why_and_reads_nothing(evian3, tms):
    asked_at = timezone.now()
    with pytest.raises(ReadingFailedError):
        whole(evian3, "fault:http:500")
    with pytest.raises(ReadingFailedError, match="evian3 could not be read"):
        reading._newest_since(evian3, asked_at)


def test_reads_of_a_cluster_are_counted_together_within_a_minute(evian3, tms, settings, monkeypatch):
    settings.TMS_READS_PER_MINUTE = 2
    for _ in range(2):
        read_one(evian3, "a1", Token(TOKEN), "olivia")
    with pytest.raises(Refusal, match=r"evian3 was read too often.* Wait (59|60) seconds"):
        read_one(evian3, "a1", Token(TOKEN), "olivia")
    assert len(reads(tms)) == 2
    earlier = [at - pace.WINDOW_S for at in LiveCluster.objects.get().recent_reads]
    LiveCluster.objects.update(recent_reads=earlier)
    read_one(evian3, "a1", Token(TOKEN), "olivia")


def test_a_cluster_is_left_alone_for_as_long_as_it_asked(evian3, tms):
    with pytest.raises(ReadingFailedError, match=r"asks to be left alone: wait 120 seconds, then try again\."):
        whole(evian3, "fault:http:429:120")
    with pytest.raises(Refusal, match=r"Wait 1(19|20) seconds"):
        read_one(evian3, "a1", Token(TOKEN), "olivia")
    assert len(reads(tms)) == 1


def test_a_cluster_that_asks_for_years_is_read_again_after_an_hour(evian3):
    with pytest.raises(ReadingFailedError):
        whole(evian3, "fault:http:429:999999999")
    with pytest.raises(Refusal) as refusal:
        whole(evian3)
    assert 3590 < refusal.value.wait_s <= 3600


@pytest.mark.parametrize("cid", ["x" * 129, "a\0b", "\ud800", "", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"])
def test_an_answer_that_lists_what_cannot_be_kept_is_no_reading(evian3, cid):
    with pytest.raises(ReadingFailedError, match="cannot be a customer id"):
        codes_in({"a1": {"action_code": 2}, cid: {"action_code": 2}}, evian3)


def test_a_code_that_the_databases_do_not_take_cannot_be_relied_on(evian3):
    entries = {str(code): {"action_code": code} for code in (1 << 15, (1 << 15) - 1, -1, 0)}
    assert codes_in(entries, evian3) == {"32768": UNREADABLE, "32767": 32767, "-1": UNREADABLE, "0": NO_ACTION}
