"""The index of customers is in segments, and whoever looks into it looks into all of them."""

from itertools import pairwise

import pytest
from django.core.management import call_command
from django.db import connections

from audit.choices import Kind
from audit.customer_index import indexed_cids, owners_between, pks_asking_for
from audit.models import SEGMENT_ATTEMPTS, AttemptCustomer
from audit.proof import parts
from audit.proof.verification import verify
from audit.selectors import actions_asked_for, attempts_of_customer, attempts_touching, undecided_overlaps
from audit.tests.making import make_attempt

pytestmark = pytest.mark.usefixtures("databases")
DONE = (Kind.ACCEPTED, Kind.RECORDED)


@pytest.fixture
def far_apart():
    """Three attempts for one customer, in the first segment, at the end of the second, and in the third."""
    attempts = []
    for last, cids in ((0, ["a", "b"]), (2 * SEGMENT_ATTEMPTS - 2, ["c", "a"]), (2 * SEGMENT_ATTEMPTS - 1, ["c", "a"])):
        with connections["audit"].cursor() as cursor:
            if connections["audit"].vendor == "sqlite":
                cursor.execute("UPDATE sqlite_sequence SET seq = %s WHERE name = 'audit_attempt'", [last])
            else:
                cursor.execute("SELECT setval(pg_get_serial_sequence('audit_attempt', 'id'), %s, false)", [last + 1])
        attempts.append(make_attempt(*(Kind.UNKNOWN,) if last else DONE, cids=cids))
    return attempts


def test_a_customer_is_found_in_every_segment(far_apart):
    first, second, third = far_apart
    segments = AttemptCustomer.objects.filter(cid="a").order_by("segment").values_list("segment", flat=True)
    assert (third.pk, [*segments]) == (2 * SEGMENT_ATTEMPTS, [0, 1, 2])
    assert [*attempts_of_customer("a")] == [third, second, first]
    assert [*attempts_of_customer("b")] == [first]
    assert not attempts_of_customer("a\0").exists()
    assert {row["attempt_id"] for row in pks_asking_for("c")} == {second.pk, third.pk}
    assert undecided_overlaps(first.cluster_url, ["x", "a"]) == [second, third]
    assert attempts_touching(third, ["a", "b"]) == [first, second]
    assert actions_asked_for(first.cluster_url, ["b", "a"]) == {("a", first.action_code), ("b", first.action_code)}
    assert indexed_cids(second.pk, ["a", "b", "c"]) == ["a", "c"]


def test_whoever_looks_for_a_list_finds_the_attempts_of_a_range(far_apart):
    first, second, third = far_apart
    assert {*owners_between(0, third.pk, ["a", "c"])} == {
        *((attempt.pk, "a") for attempt in far_apart),
        *((attempt.pk, "c") for attempt in (second, third)),
    }
    assert {*owners_between(second.pk, third.pk, ["a", "b"])} == {(second.pk, "a"), (third.pk, "a")}
    assert owners_between(third.pk + 1, third.pk + 1, ["a"]) == []


def test_the_index_of_before_is_carried_over_and_back(far_apart):
    """Whatever is there, in whatever segment."""
    before = {*AttemptCustomer.objects.values_list("segment", "cid", "attempt_id")}
    assert len(before) == 6
    try:
        call_command("migrate", "audit", "0011_open_by_user", database="audit", verbosity=0)
        with connections["audit"].cursor() as cursor:
            cursor.execute("SELECT cid, attempt_id FROM audit_attemptcustomer ORDER BY id")
            assert {*cursor.fetchall()} == {row[1:] for row in before}
            cursor.execute("INSERT INTO audit_attemptcustomer (cid, attempt_id) VALUES ('z', %s)", [far_apart[0].pk])
    finally:
        call_command("migrate", "audit", database="audit", verbosity=0)
    assert {*AttemptCustomer.objects.values_list("segment", "cid", "attempt_id")} == before | {
        (0, "z", far_apart[0].pk)
    }


@pytest.mark.usefixtures("empty_seal_dir")
@pytest.mark.parametrize("most_customers", [1, parts.MAX_CUSTOMERS])
def test_attempts_of_every_segment_are_compared_with_their_entries(far_apart, monkeypatch, most_customers):
    monkeypatch.setattr(parts, "MAX_CUSTOMERS", most_customers)
    assert (verify().is_whole, verify().attempts) == (True, 3)
    AttemptCustomer.objects.filter(attempt=far_apart[2], cid="c").delete()
    assert [finding.problem for finding in verify().findings] == [
        "The customer index does not hold the ids of entry 6: it lacks c."
    ]


def test_parts_of_many_customers_have_few_attempts_and_leave_none_out(far_apart, monkeypatch):
    monkeypatch.setattr(parts, "MAX_CUSTOMERS", 1)
    keys = [(part.first, part.last) for part in parts.parts("")]
    assert len(keys) > 3
    assert (keys[0][0], keys[-1][1]) == (0, 3 * SEGMENT_ATTEMPTS - 1)
    assert all(last + 1 == first for (_, last), (first, _) in pairwise(keys))
