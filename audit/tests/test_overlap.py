"""Customers that other attempts asked for: found whatever their number and age, from indexes alone."""

import tracemalloc
from datetime import timedelta

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.choices import Action, Kind
from audit.models import Attempt
from audit.overlap import attempts_sharing
from audit.tests.making import CLUSTER, make_attempt, tampering
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
    for sql in (query["sql"] for query in captured):
        with connections["audit"].cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            steps = [row[3] for row in cursor.fetchall() if row[3].startswith(("SCAN", "SEARCH"))]
        of_one_row = ("SEARCH audit_attempt", "SCAN earliest")  # the one with the greatest id, and a result
        assert all(" USING " in step or "json_each" in step or step in of_one_row for step in steps), steps
        assert not any("attempt_by_action" in step for step in steps), steps


@pytest.mark.postgresql
def test_postgresql_takes_the_indexes_whatever_its_statistics_say():
    """They say that the tables hold next to nothing, as they may after an import."""
    make_older(make_attempt(*DONE, cids=["a"]), days=2)
    Attempt.objects.update(decided_at=timezone.now() - timedelta(days=2))
    with connections["audit"].cursor() as cursor:
        for table in ("audit_attempt", "audit_attemptcustomer"):
            cursor.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
            cursor.execute(f"ANALYZE {table}")
        cursor.execute(FILL_ATTEMPTS)
        cursor.execute(FILL_CUSTOMERS)
    for days in (400, 3, 0):
        make_older(make_attempt(Kind.UNKNOWN, cids=["a", f"b{days}"]), days=days)
    for list_length in (1, 500, 20_000):
        cids = [f"c{number}" for number in range(list_length - 1)] + ["a"]
        with CaptureQueriesContext(connections["audit"]) as captured:
            assert len(shared(cids)) == 3
        for query in captured:
            with connections["audit"].cursor() as cursor:
                cursor.execute(f"EXPLAIN {query['sql']}")
                plan = "\n".join(row[0] for row in cursor.fetchall())
            assert "Seq Scan on audit_attempt" not in plan, plan


FILL_ATTEMPTS = """
    INSERT INTO audit_attempt (attempt_id, user_id, action_code, action_name, cluster_url, source, ip_address,
        customer_count, created_at, outcome, decided_at, is_open, job_owed, error_message, payload_digest)
    SELECT gen_random_uuid(), 'olivia', 2, 'PE-Enable', cluster_url, 'api', '', 1, created_at, 'accepted',
        decided_at, false, false, '', ''
    FROM audit_attempt, generate_series(1, 20000)"""
FILL_CUSTOMERS = """
    INSERT INTO audit_attemptcustomer (segment, attempt_id, cid)
    SELECT audit_attempt.id / 16384, audit_attempt.id, 'c' || number FROM audit_attempt, generate_series(1, 5) AS number
    WHERE NOT EXISTS (SELECT 1 FROM audit_attemptcustomer AS c WHERE c.attempt_id = audit_attempt.id)"""


@pytest.mark.parametrize("spoil", ["no JSON", '{"cids": 5}', "{}", '{"cids": [[]]}'])
def test_a_list_that_somebody_spoilt_in_the_audit_is_looked_up_in_the_index(spoil):
    cids = [f"c{number}" for number in range(2_000)]
    spoilt = make_older(make_attempt(Kind.UNKNOWN, cids=cids), days=400)
    with tampering() as cursor:
        cursor.execute("UPDATE audit_auditentry SET body = %s WHERE kind = 'INTENT'", [spoil])
    assert {pk: len(common) for pk, common in shared(cids).items()} == {spoilt.pk: 2_000}


def test_both_ways_of_comparing_find_the_same(monkeypatch):
    cids = [f"c{number}" for number in range(300)]
    for count in (1, 5, 60, 300):
        make_attempt(*DONE, cids=cids[:count])
        make_attempt(Kind.UNKNOWN, cids=[f"other{count}", *cids[-count:]])
    make_attempt(Kind.REJECTED, cids=cids)
    make_attempt(*DONE, cids=cids, cluster_url="https://other.example")
    make_attempt(*DONE, cids=cids, action=Action.T_ENABLE)
    by_cost = []
    for cost in (0.0001, 10_000):
        monkeypatch.setattr("audit.overlap.PER_ATTEMPT", cost)
        by_cost.append([*shared(cids).items()])
    assert by_cost[0] == by_cost[1]
    assert [len(common) for _, common in by_cost[0]] == [300, 300, 60, 60, 5, 5, 1, 1]


def test_long_lists_are_read_one_after_the_other_so_that_they_take_little_memory(monkeypatch):
    monkeypatch.setattr("audit.selectors.CUSTOMERS_AT_ONCE", 4_000)
    for number in range(12):
        make_attempt(*DONE, cids=[f"{number:02}{position:030}" for position in range(4_000)])
    cids = [f"{position:032}" for position in range(4_000)]

    def peak_bytes():
        tracemalloc.start()
        try:
            assert {len(common) for common in shared(cids).values()} == {4_000}
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    with_all = peak_bytes()
    Attempt.objects.filter(pk__gt=Attempt.objects.order_by("pk")[1].pk).update(action_code=Action.T_ENABLE)
    assert with_all < 1.5 * peak_bytes()
