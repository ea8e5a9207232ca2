"""GET /api/audit/customer/<id>: what was ever tried with a customer."""

from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.test import Client

from audit.choices import Kind
from audit.tests.making import make_attempt, record, refuse
from tmsdash.tests.fixtures import signed_in

pytestmark = pytest.mark.usefixtures("databases")

HIDDEN = ("attempt_id", "ip_address", "error_message", "customer_count", "job_id")


def history(user, cid="a1", **query):
    return signed_in(user).get(f"/api/audit/customer/{quote(cid, safe='/')}", query)


def records(user, cid="a1", **query):
    answer = history(user, cid, **query)
    assert answer.status_code == 200
    return answer.json()["records"]


def test_ones_own_attempt_is_shown_in_full(olivia):
    attempt = make_attempt(Kind.ACCEPTED, Kind.RECORDED)
    assert history(olivia).json() == {
        "success": True,
        "customer_id": "a1",
        "count": 1,
        "records": [
            {
                "attempt_id": str(attempt.attempt_id),
                "user_id": "olivia",
                "action_type": "PE-Enable",
                "status": "accepted",
                "timestamp": attempt.created_at.isoformat(),
                "ip_address": "203.0.113.7",
                "error_message": None,
                "customer_count": 2,
                "job_id": str(attempt.attempt_id),
            }
        ],
    }


def test_of_a_colleagues_attempt_only_what_keeps_one_from_sending_twice(oscar):
    attempt = make_attempt(Kind.UNKNOWN, message="a secret of olivia's")
    assert records(oscar) == [
        {
            "user_id": "olivia",
            "action_type": "PE-Enable",
            "status": "unknown",
            "timestamp": attempt.created_at.isoformat(),
            **dict.fromkeys(HIDDEN),
        }
    ]


@pytest.mark.parametrize("name", ["audrey", "adam"])
def test_auditors_see_every_attempt_in_full(request, name):
    attempt = make_attempt(Kind.REJECTED, message="no\tluck")
    [record_] = records(request.getfixturevalue(name))
    assert record_["attempt_id"] == str(attempt.attempt_id)
    assert (record_["error_message"], record_["ip_address"]) == ("no\\tluck", "203.0.113.7")


@pytest.mark.parametrize(
    ("kinds", "status", "has_job"),
    [
        ((), "pending", False),
        ((Kind.ACCEPTED,), "accepted", False),  # its Job is still being recorded
        ((Kind.ACCEPTED, Kind.RECORDED), "accepted", True),
        ((Kind.REJECTED,), "rejected", False),
        ((Kind.NOT_SENT,), "not_sent", False),
        ((Kind.UNKNOWN,), "unknown", False),
        ((Kind.UNKNOWN, Kind.APPLIED), "applied", False),
        ((Kind.UNKNOWN, Kind.APPLIED, Kind.RECORDED), "applied", True),
        ((Kind.UNKNOWN, Kind.NOT_APPLIED), "not_applied", False),
    ],
)
def test_a_job_is_named_when_it_is_there(olivia, kinds, status, has_job):
    attempt = make_attempt(*kinds)
    [record_] = records(olivia)
    assert (record_["status"], record_["job_id"]) == (status, str(attempt.attempt_id) if has_job else None)


def test_refused_attempts_are_part_of_the_history(olivia):
    refuse(message="Too many.")
    assert [(record_["status"], record_["error_message"]) for record_ in records(olivia)] == [("refused", "Too many.")]


def test_the_newest_attempt_comes_first_and_others_customers_stay_out(olivia):
    attempts = [make_attempt(cids=cids) for cids in (("a1",), ("a1", "x"), ("x",), ("A1",), ("a11",), ("b", "a1"))]
    record(attempts[0], Kind.ACCEPTED)  # what happens later does not change the order
    expected = [str(attempts[number].attempt_id) for number in (5, 1, 0)]
    assert [record_["attempt_id"] for record_ in records(olivia)] == expected


def test_the_limit_cuts_the_oldest_off(olivia):
    attempts = [make_attempt() for _ in range(52)]
    newest = [str(attempt.attempt_id) for attempt in reversed(attempts)]
    for query, count in (({}, 50), ({"limit": 1}, 1), ({"limit": 51}, 51), ({"limit": 500}, 52), ({"limit": "007"}, 7)):
        assert [record_["attempt_id"] for record_ in records(olivia, **query)] == newest[:count]


@pytest.mark.parametrize("limit", ["0", "501", "-1", "", "ten", "1.5", "1e2", "99999999999", " 5", "5 ", "٥", "5\n"])
def test_another_limit_is_refused(olivia, limit):
    answer = history(olivia, limit=limit)
    message = "limit must be a whole number from 1 to 500."
    assert answer.status_code == 400
    assert answer.json()["message"] == message
    assert answer.json()["errors"] == {"limit": [message]}


@pytest.mark.parametrize(
    "cid",
    [
        *("a/b", "/a", "a/", "a//b", "50%", "%41", "a%2Fb", "a+b", "a b", "a?b=c", "a#b", "a&b", "a.b", "..a", "é日本"),
        *("'; DROP TABLE audit_attempt; --", '"', "<b>", "\\", "x" * 128, "~", "null", "%s"),
    ],
)
def test_an_id_may_hold_whatever_an_id_may_hold(olivia, cid):
    make_attempt(cids=(cid,))
    answer = history(olivia, cid).json()
    assert (answer["customer_id"], answer["count"]) == (cid, 1)


@pytest.mark.parametrize("cid", ["a", "a1 ", "A1", "%", "_1", "x" * 5000, "a\0", "\x01"])
def test_an_id_that_nobody_asked_for_has_no_history(olivia, cid):
    make_attempt()
    answer = history(olivia, cid)
    assert answer.status_code == 200
    assert (answer.json()["count"], answer.json()["records"]) == (0, [])


def test_the_history_is_read_only_never_cached_and_for_users(olivia):
    answer = history(olivia)
    assert "no-cache" in answer["Cache-Control"]
    assert signed_in(olivia).post("/api/audit/customer/a1").status_code == 405
    assert Client().get("/api/audit/customer/a1").status_code == 401


def test_who_may_neither_send_nor_audit_sees_nothing(databases):
    plain = User.objects.create_user("plain")
    answer = signed_in(plain).get("/api/audit/customer/a1")
    assert (answer.status_code, answer.json()["outcome"]) == (403, "refused")
