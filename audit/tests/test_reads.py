"""Reads of the audit: who sees what, through which index, and the canonical text of a value."""

import json
import math
import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.http import Http404
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit import digests, in_doubt
from audit.choices import Kind, Outcome
from audit.models import Attempt, AuditEntry
from audit.selectors import (
    attempt_for,
    attempts_in_doubt_of,
    attempts_of_customer,
    older_than,
    open_attempts,
    open_attempts_of,
    opening_body,
    outcome_body,
)
from audit.tests.making import make_attempt, record, refuse

pytestmark = pytest.mark.usefixtures("databases")

# -- Canonical JSON -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [1, 2.5, None, True]}, '{"a":[1,2.5,null,true],"b":1}'),
        ({"é": "日本\u2028🙂"}, '{"\\u00e9":"\\u65e5\\u672c\\u2028\\ud83d\\ude42"}'),
        ({"a": {"z": 1, "y": ("x", "w")}}, '{"a":{"y":["x","w"],"z":1}}'),
        ("\ud800\n", '"\\ud800\\n"'),
        ({}, "{}"),
    ],
)
def test_canonical_json_is_one_ascii_text_for_one_value(value, text):
    assert digests.canonical(value) == text
    assert digests.canonical(json.loads(text)) == text


def test_what_is_equal_has_one_digest_and_what_differs_has_two():
    assert digests.digest({"a": 1, "b": 2}) == digests.digest({"b": 2, "a": 1})
    assert len({digests.digest(value) for value in (["ab"], ["a", "b"], "ab", ["b", "a"], [], None, 1, "1")}) == 8
    assert digests.digest([]) == "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
    for value in (math.nan, math.inf, object()):
        with pytest.raises((ValueError, TypeError)):
            digests.canonical(value)


# -- Reads --------------------------------------------------------------------------------------------------------


def test_who_may_see_an_attempt(olivia, oscar, audrey, adam):
    attempt = make_attempt()
    for user in (olivia, audrey, adam):
        assert attempt_for(user, attempt.attempt_id) == attempt
    for user, attempt_id in ((oscar, attempt.attempt_id), (adam, uuid.uuid4())):
        with pytest.raises(Http404):
            attempt_for(user, attempt_id)


def test_the_bodies_behind_an_attempt():
    attempt = make_attempt(Kind.UNKNOWN, http_status=None, message="timeout")
    assert opening_body(attempt)["cids"] == ["a1", "b2"]
    attempt = record(attempt, Kind.APPLIED, Kind.RECORDED, http_status=None, message="read back")
    assert attempt.outcome == Outcome.APPLIED
    assert outcome_body(attempt)["message"] == "read back"
    assert opening_body(refuse(cids=("x",)))["cids"] == ["x"]


# -- Indexes ------------------------------------------------------------------------------------------------------


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("query", "plan"),
    [
        # SQLite names the indexes of unique constraints itself: this one is attempt_customer_by_cid.
        (
            lambda: AuditEntry.objects.filter(attempt_id=uuid.uuid4()),
            "sqlite_autoindex_audit_auditentry_1 (attempt_id=?)",
        ),
        (lambda: open_attempts(), "INDEX attempt_unfinished"),
        (lambda: open_attempts_of(User(username="olivia")), "INDEX attempt_unfinished"),
    ],
)
def test_rows_are_found_through_their_index(query, plan):
    assert plan in query().explain()


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("model", "filters", "index"),
    [
        (Attempt, {"user_id": "olivia"}, "attempt_by_user (user_id=?)"),
        (Attempt, {"action_code": 2}, "attempt_by_action (action_code=?)"),
        (Attempt, {"outcome": "unknown"}, "attempt_unfinished"),
        (AuditEntry, {"kind": "UNKNOWN"}, "entry_by_seldom_kind (kind=?)"),
        (AuditEntry, {"user_id": "olivia"}, "entry_by_user (user_id=?)"),
        (AuditEntry, {"action_type": "T-Enable"}, "entry_by_action (action_type=?)"),
    ],
)
def test_the_newest_of_a_kind_are_read_in_order_from_their_index(model, filters, index):
    plan = model.objects.filter(**filters).order_by("-pk")[:50].explain()
    assert f"USING INDEX {index}" in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.sqlite
@pytest.mark.parametrize("seen", [None, Attempt(pk=1000)], ids=["newest", "older"])
def test_the_attempts_of_a_customer_are_read_in_order_from_their_index(seen):
    with CaptureQueriesContext(connections["audit"]) as captured:
        rows = attempts_of_customer("a1")
        list((rows.filter(older_than(seen)) if seen else rows)[:50])
    [_, query] = captured  # the first one asks for the segments
    with connections["audit"].cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
        plan = " ".join(row[3] for row in cursor.fetchall())
    assert "USING PRIMARY KEY (segment=? AND cid=?)" in plan
    assert "TEMP B-TREE" not in plan


# -- In doubt -----------------------------------------------------------------------------------------------------


def test_the_count_of_what_is_in_doubt_is_that_of_the_list_by_the_index_of_open_attempts_alone(olivia, oscar):
    for name in ("olivia", "olivia", "oscar"):
        make_attempt(Kind.UNKNOWN, user_id=name)
        make_attempt(Kind.ACCEPTED, Kind.RECORDED, user_id=name)
        make_attempt(user_id=name)  # still running
    for minutes in (-90, 90):  # over, and by a clock that is wrong
        at = timezone.now() + timedelta(minutes=minutes)
        Attempt.objects.filter(pk=make_attempt(user_id="olivia").pk).update(created_at=at)
    for user, count in ((olivia, 4), (oscar, 1), (None, 5)):
        assert in_doubt.count(user, 99) == attempts_in_doubt_of(user).count() == count
    assert in_doubt.count(None, 2) == 2
    connection = connections["audit"]
    for user in (olivia, None) if connection.vendor == "sqlite" else ():
        with CaptureQueriesContext(connection) as queries, connection.cursor() as cursor:
            in_doubt.count(user, 99)
            cursor.execute(f"EXPLAIN QUERY PLAN {queries[0]['sql']}")
            plan = str(cursor.fetchall())
        assert "attempt_unfinished" in plan
        assert "TEMP B-TREE" not in plan
