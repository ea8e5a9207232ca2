"""How long readings and lists are kept."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from jobs.live import lists, states
from jobs.models import LiveList, LiveReading
from tmsdash.tests.tools import counted_queries

pytestmark = pytest.mark.usefixtures("databases")
EVIAN3 = "https://evian3"
OLD = states.KEPT + timedelta(days=1)


def reading(age=timedelta(0), asked="ALL", **values):
    at = timezone.now() - age
    return LiveReading(cluster_url=EVIAN3, asked=asked, user_id="olivia", began_at=at, ended_at=at, **values)


def keep_failed(age=timedelta(0), **values):
    failed = reading(age, problem="evian3 could not be read.", **values)
    failed.save()
    return failed


def kept():
    return [*LiveReading.objects.order_by("pk")]


def test_readings_go_after_thirty_days_when_another_one_is_written():
    keep_failed(OLD)
    fresh = keep_failed()
    elsewhere = keep_failed(OLD)
    LiveReading.objects.filter(pk=elsewhere.pk).update(cluster_url="https://brooke")
    states.keep_failed(newest := reading(problem="evian3 could not be read."))
    assert kept() == [fresh, elsewhere, newest]


def test_a_reading_stays_as_long_as_a_state_goes_back_to_it():
    states.keep_whole(whole := reading(OLD), {"a1": 2})
    states.keep_one(alone := reading(OLD - timedelta(hours=1), asked="a1"), 3)
    states.keep_failed(failed := reading(problem="evian3 could not be read."))
    assert kept() == [whole, alone, failed]
    states.keep_whole(newer := reading(), {"a1": 3})
    assert kept() == [whole, alone, failed, newer]  # by when it was written, the states went back to them
    states.keep_failed(last := reading(problem="evian3 could not be read."))
    assert kept() == [failed, newer, last]


def test_readings_go_a_bounded_number_at_a_time_even_behind_many_that_stay(monkeypatch):
    monkeypatch.setattr(states, "PRUNED_AT_ONCE", 2)
    for number in range(3):
        states.keep_one(reading(OLD, asked=f"a{number}"), 2)
    for _ in range(3):
        keep_failed(OLD)
    states.keep_failed(reading(problem="evian3 could not be read."))
    assert len(kept()) == 3 + 1 + 1
    states.keep_failed(reading(problem="evian3 could not be read."))
    assert len(kept()) == 3 + 2


def test_what_is_known_of_many_customers_takes_as_many_queries_as_of_few():
    fleet = [f"c{number}" for number in range(3000)]
    states.keep_whole(reading(timedelta(hours=1)), dict.fromkeys(fleet, 2))
    states.keep_one(alone := reading(asked="c7"), 4)
    with counted_queries() as of_few:
        states.states_of(EVIAN3, fleet[:10])
    with counted_queries() as of_many:
        known = states.states_of(EVIAN3, [*fleet, "absent"])
    assert len(of_many) == len(of_few)
    assert known.counts == {0: 1, 2: 2999, 4: 1}
    assert known.by_cid["c7"].reading == alone


def test_only_failures_since_the_newest_good_reading_are_news():
    keep_failed(timedelta(hours=2))
    states.keep_whole(reading(timedelta(hours=1)), {"a1": 2})
    row = states.cluster_row(EVIAN3)
    assert states.newest_failure(row) is None
    keep_failed(asked="a1")
    assert states.newest_failure(row) is None
    newest = keep_failed()
    assert states.newest_failure(row) == newest


def test_a_list_is_for_its_user_and_for_a_day(olivia, oscar):
    kept_list = lists.keep_list("olivia", ["b2", "a1"])
    assert lists.list_for(olivia, kept_list.list_id) == ["b2", "a1"]
    assert lists.list_for(oscar, kept_list.list_id) is None
    assert lists.list_for(olivia, uuid.uuid4()) is None
    LiveList.objects.update(created_at=timezone.now() - lists.KEPT - timedelta(seconds=1))
    assert lists.list_for(olivia, kept_list.list_id) is None
    newer = lists.keep_list("oscar", ["c3"])
    assert [*LiveList.objects.all()] == [newer]


def test_of_the_lists_of_a_user_the_newest_are_kept(monkeypatch):
    monkeypatch.setattr(lists, "LISTS_OF_A_USER", 2)
    colleague = lists.keep_list("oscar", ["a1"])
    newest = [lists.keep_list("olivia", ["a1"]) for _ in range(3)][1:]
    assert [*LiveList.objects.order_by("pk")] == [colleague, *newest]
