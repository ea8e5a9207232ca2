"""Customers that other attempts asked for: found whatever their number and age, from indexes alone."""

from datetime import timedelta

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.choices import Kind
from audit.models import Attempt
from audit.overlap import attempts_sharing
from audit.tests.making import CLUSTER, make_attempt
from audit.tests.making import record as record_events

pytestmark = pytest.mark.usefixtures("databases")
DONE = (Kind.ACCEPTED, Kind.RECORDED)


def shared(cids, *, window_s=600):
    attempts = attempts_sharing(CLUSTER, 2, cids, timezone.now() - timedelta(seconds=window_s))
    return {attempt.pk: sorted(common) for attempt, common in attempts.items()}


def make_older(attempt, **delta):
    Attempt.objects.filter(pk=attempt.pk).update(created_at=timezone.now() - timedelta(**delta))
    return attempt


def test_each_attempt_is_given_with_what_it_shares_the_newest_first():
    first, second = make_attempt(*DONE, cids=["a", "b", "x"]), make_attempt(cids=["b", "c"])
    make_attempt(*DONE, cids=["y", "z"])
    assert list(shared(["c", "b", "a", "d"]).items()) == [(second.pk, ["b", "c"]), (first.pk, ["a", "b"])]


@pytest.mark.parametrize("list_length", [1, 2_000], ids=["a short list", "a long list"])
def test_old_ones_count_if_they_are_open_or_were_confirmed_lately(list_length):
    cids = [f"c{number}" for number in range(2_000)]
    is_open = make_older(make_attempt(Kind.UNKNOWN, cids=cids), days=400)
    confirmed = make_older(make_attempt(Kind.UNKNOWN, cids=cids), days=3)
    record_events(confirmed, Kind.APPLIED, Kind.RECORDED)
    long_ago = make_older(make_attempt(*DONE, cids=cids), days=2)
    Attempt.objects.filter(pk=long_ago.pk).update(decided_at=timezone.now() - timedelta(days=2))
    recent = make_attempt(*DONE, cids=cids)
    expected = [recent.pk, confirmed.pk, is_open.pk]
    assert [*shared(cids[:list_length])] == expected
    assert {len(common) for common in shared(cids[:list_length]).values()} == {list_length}


def test_what_was_accepted_while_the_clock_was_ahead_counts():
    """It is from before the clock was set back, so its number is lower and its time later than those of others."""
    ahead = make_older(make_attempt(*DONE, cids=["a"]), days=-1)
    for _ in range(3):
        make_attempt(*DONE, cids=["b"])
    assert [*shared(["a"])] == [ahead.pk]


def test_ids_of_any_kind_are_compared_exactly():
    odd = ["1", "01", "1.0", "é", "e\u0301", "'", '"', "%", "_", "\\", "null", "true"]
    make_attempt(cids=odd)
    for cid in odd:
        assert [*shared([cid]).values()] == [[cid]]
    assert shared(["001", "E\u0301", "%%", "NULL"]) == {}


@pytest.mark.sqlite
def test_no_table_is_read_from_end_to_end():
    for days in (400, 3, 0):
        make_older(make_attempt(Kind.UNKNOWN), days=days)
    with CaptureQueriesContext(connections["audit"]) as captured:
        assert len(shared(["a1", "b2"])) == 3
    for query in captured:
        with connections["audit"].cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            plan = [row[3] for row in cursor.fetchall()]
        assert not [step for step in plan if step.startswith("SCAN") and "json_each" not in step], query["sql"]
