"""Opening an attempt: once per id, and not while or shortly after its customers were sent."""

import json
import uuid
from datetime import timedelta

import pytest
from django.db import DatabaseError, connections
from django.utils import timezone

from audit.choices import Action, Kind, Outcome
from audit.models import Attempt, AttemptCustomer, AuditEntry
from audit.tests.making import (
    CLUSTER,
    Opened,
    customers_of,
    kinds_of,
    make_attempt,
    make_request,
    open_,
    refuse,
    row,
)
from tmsdash.tests.tools import at_once, in_thread, locked, table_missing

pytestmark = pytest.mark.usefixtures("databases")


def nothing_is_written():
    return not (Attempt.objects.exists() or AuditEntry.objects.exists() or AttemptCustomer.objects.exists())


# -- A new attempt ------------------------------------------------------------------------------------------------


def test_a_new_attempt_is_pending_open_and_has_its_intent_and_customers():
    request = make_request(cids=("b2", "a1"), body={"repeated": 3, "batch_id": None})
    found, attempt = open_(request)
    assert found is Opened.NEW
    assert row(attempt) == {
        "id": attempt.pk,
        "attempt_id": request.attempt_id,
        "user_id": "olivia",
        "action_code": 2,
        "action_name": "PE-Enable",
        "cluster_url": CLUSTER,
        "source": "form",
        "ip_address": "203.0.113.7",
        "customer_count": 2,
        "created_at": attempt.created_at,
        "outcome": "pending",
        "decided_at": None,
        "is_open": True,
        "job_owed": False,
        "http_status": None,
        "error_message": "",
        "payload_digest": request.body["payload_digest"],
        "note": "",
    }
    entry = AuditEntry.objects.get()
    assert (entry.attempt_id, entry.kind, entry.user_id) == (request.attempt_id, "INTENT", "olivia")
    assert (entry.action_type, entry.ip_address) == ("PE-Enable", "203.0.113.7")
    assert json.loads(entry.body) == {
        "action_code": 2,
        "action_name": "PE-Enable",
        "batch_id": None,
        "cids": ["b2", "a1"],
        "cluster_url": CLUSTER,
        "customer_count": 2,
        "list_digest": request.body["list_digest"],
        "payload_digest": request.body["payload_digest"],
        "repeated": 3,
        "source": "form",
    }
    assert customers_of(attempt) == ["a1", "b2"]


def test_names_with_control_characters_are_made_fit_for_a_line():
    _, attempt = open_(make_request(action_name="PE\nEnable", cluster_url="https://a\u202eb"))
    assert (attempt.action_name, attempt.cluster_url) == (r"PE\nEnable", r"https://a\u202eb")
    assert AuditEntry.objects.get().action_type == r"PE\nEnable"


# -- An attempt that is known -------------------------------------------------------------------------------------


@pytest.mark.parametrize("overlap_allowed", [True, False])
@pytest.mark.parametrize("kinds", [(), (Kind.REJECTED,), (Kind.ACCEPTED, Kind.RECORDED)])
def test_an_id_that_comes_again_is_known_whatever_became_of_it(kinds, overlap_allowed):
    first = make_attempt(*kinds)
    again = make_request(attempt_id=first.attempt_id, cids=("other",), user_id="oscar")
    found, attempt = open_(again, overlap_allowed=overlap_allowed)
    assert (found, attempt) == (Opened.KNOWN, first)
    assert attempt.user_id == "olivia"
    assert kinds_of(first) == ["INTENT", *kinds]
    assert customers_of(first) == ["a1", "b2"]


# -- An overlap ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "is_overlap"),
    [
        ({}, True),
        ({"cids": ("b2", "a1")}, True),  # the same set, whatever its order
        ({"user_id": "oscar"}, True),  # whoever asks
        ({"source": "api", "ip_address": ""}, True),
        ({"cids": ("a1",)}, True),  # one of them is enough
        ({"cids": ("c3", "b2", "d4")}, True),
        ({"cids": ("c3", "d4")}, False),
        ({"cids": ("A1", "B2")}, False),
        ({"cids": ("a1b2",)}, False),
        ({"cids": ("a1,b2",)}, False),
        ({"action": Action.T_ENABLE}, False),
        ({"cluster_url": "https://brooke.example"}, False),
    ],
)
def test_the_same_action_for_any_of_the_customers_on_the_same_cluster_is_an_overlap(other, is_overlap):
    first = make_attempt()
    found, attempt = open_(**other)
    assert found is (Opened.OVERLAP if is_overlap else Opened.NEW)
    assert (attempt == first) is is_overlap
    assert Attempt.objects.count() == AuditEntry.objects.count() == (1 if is_overlap else 2)


@pytest.mark.parametrize(
    ("kinds", "is_overlap"),
    [
        ((), True),
        ((Kind.UNKNOWN,), True),
        ((Kind.ACCEPTED,), True),
        ((Kind.ACCEPTED, Kind.RECORDED), True),
        ((Kind.UNKNOWN, Kind.APPLIED), True),
        ((Kind.UNKNOWN, Kind.APPLIED, Kind.RECORDED), True),
        ((Kind.REJECTED,), False),
        ((Kind.NOT_SENT,), False),
        ((Kind.UNKNOWN, Kind.NOT_APPLIED), False),
    ],
)
def test_what_may_have_been_applied_lately_is_guarded_and_what_was_not_may_be_sent_again(kinds, is_overlap):
    make_attempt(*kinds)
    assert open_()[0] is (Opened.OVERLAP if is_overlap else Opened.NEW)


def test_a_refused_attempt_guards_nothing():
    refuse()
    assert open_()[0] is Opened.NEW


@pytest.mark.parametrize(
    ("kinds", "seconds_ago", "is_overlap"),
    [
        ((Kind.ACCEPTED, Kind.RECORDED), 590, True),
        ((Kind.ACCEPTED, Kind.RECORDED), 610, False),
        ((Kind.ACCEPTED,), 1_000_000, True),  # open: its Job is owed
        ((Kind.UNKNOWN,), 1_000_000, True),
        ((), 1_000_000, True),
    ],
)
def test_an_accepted_list_is_guarded_for_the_window_and_an_open_one_always(kinds, seconds_ago, is_overlap):
    attempt = make_attempt(*kinds)
    then = timezone.now() - timedelta(seconds=seconds_ago)
    Attempt.objects.filter(pk=attempt.pk).update(created_at=then, decided_at=then if kinds else None)
    assert open_(window_s=600)[0] is (Opened.OVERLAP if is_overlap else Opened.NEW)


def test_the_window_counts_from_the_moment_when_a_doubt_ended():
    attempt = make_attempt(Kind.UNKNOWN, Kind.APPLIED, Kind.RECORDED)
    Attempt.objects.filter(pk=attempt.pk).update(created_at=timezone.now() - timedelta(days=1))
    assert open_()[0] is Opened.OVERLAP


def test_without_a_window_only_open_attempts_are_guarded():
    make_attempt(Kind.ACCEPTED, Kind.RECORDED)
    assert open_(window_s=0)[0] is Opened.NEW
    assert open_(window_s=0)[0] is Opened.OVERLAP


def test_the_newest_overlap_is_named_first():
    make_attempt(Kind.ACCEPTED, Kind.RECORDED)
    newest = make_attempt(Kind.ACCEPTED, Kind.RECORDED)
    assert open_() == (Opened.OVERLAP, newest)


def test_an_overlap_may_be_allowed():
    first = make_attempt()
    found, attempt = open_(overlap_allowed=True)
    assert found is Opened.NEW
    assert attempt != first


# -- Rivals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("same_list", [True, False])
def test_twenty_that_open_one_id_at_once_leave_one_intent(same_list):
    """With lists of their own nothing but the unique id stands between them on PostgreSQL."""
    attempt_id = uuid.uuid4()

    def open_it(number):
        cids = ("a1", "b2") if same_list else (f"c{number}",)
        return open_(make_request(attempt_id=attempt_id, cids=cids))

    results = at_once(20, open_it)
    assert sorted(found.name for found, _ in results) == ["KNOWN"] * 19 + ["NEW"]
    assert len({attempt.pk for _, attempt in results}) == 1
    attempt = Attempt.objects.get()
    assert kinds_of(attempt) == ["INTENT"]
    assert tuple(customers_of(attempt)) == tuple(sorted(json.loads(AuditEntry.objects.get().body)["cids"]))


def test_of_twenty_with_one_list_at_once_one_is_new():
    orders = [("a1", "b2"), ("b2", "a1")]
    results = at_once(20, lambda number: open_(make_request(cids=orders[number % 2])))
    assert sorted(found.name for found, _ in results) == ["NEW"] + ["OVERLAP"] * 19
    assert len({attempt.attempt_id for _, attempt in results}) == 1
    assert AuditEntry.objects.count() == Attempt.objects.count() == 1


def test_twenty_with_lists_of_their_own_are_all_new():
    results = at_once(20, lambda number: open_(make_request(cids=(f"c{number}",))))
    assert {found for found, _ in results} == {Opened.NEW}
    assert AuditEntry.objects.count() == AttemptCustomer.objects.count() == 20


# -- Nothing half written -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [open_, refuse])
@pytest.mark.parametrize("table", ["audit_attempt", "audit_auditentry", "audit_attemptcustomer"])
def test_when_one_of_its_tables_fails_nothing_is_written(write, table):
    with table_missing("audit", table), pytest.raises(DatabaseError):
        write()
    assert nothing_is_written()


@pytest.mark.parametrize("write", [open_, refuse])
def test_when_the_list_breaks_off_in_the_middle_nothing_is_written(write):
    with pytest.raises(DatabaseError):
        write(cids=("a", "b", "a", "c"))
    assert nothing_is_written()


@pytest.mark.parametrize("write", [open_, refuse])
def test_facts_that_are_no_json_leave_nothing(write):
    with pytest.raises(ValueError, match="JSON"):
        write(body={"a": float("nan")})
    assert nothing_is_written()


def test_a_locked_audit_is_an_error_after_the_wait():
    request = make_request()
    with locked("audit", "audit_attempt"), pytest.raises(DatabaseError):
        open_(request, wait_s=0.05)
    assert nothing_is_written()


# -- Refused attempts ---------------------------------------------------------------------------------------------


def test_a_refused_attempt_is_closed_and_says_why():
    attempt = refuse(message="The list\nis empty.", action_code=None, action_name="", body={"code": 400, "errors": {}})
    stored = row(attempt)
    assert (stored["outcome"], stored["is_open"], stored["job_owed"]) == (Outcome.REFUSED, False, False)
    assert stored["error_message"] == r"The list\nis empty."
    assert stored["decided_at"] is not None
    body = json.loads(AuditEntry.objects.get().body)
    assert (body["message"], body["code"], body["cids"]) == ("The list\nis empty.", 400, ["a1", "b2"])
    assert kinds_of(attempt) == ["REFUSED"]


@pytest.mark.parametrize(("given", "kept"), [(0, 0), (499, 499), (500, 500), (501, 500), (27_682, 500)])
def test_of_a_refused_list_five_hundred_ids_are_kept_and_all_are_counted(given, kept):
    cids = tuple(f"c{number:05}" for number in range(given))
    attempt = refuse(cids=cids)
    body = json.loads(AuditEntry.objects.get().body)
    assert customers_of(attempt) == body["cids"] == list(cids[:kept])
    assert row(attempt)["customer_count"] == body["customer_count"] == given


def test_a_count_may_be_more_than_the_ids_that_are_given():
    assert row(refuse(cids=(), customer_count=70_000))["customer_count"] == 70_000


@pytest.mark.parametrize("character", ["x", "é", "\n", "\u2028", "\U000e0041"])
def test_a_message_of_any_length_and_kind_fits_its_column(character):
    attempt = refuse(message=character * 2000)
    stored = in_thread(row, attempt)
    assert 0 < len(stored["error_message"]) <= 500
    assert json.loads(AuditEntry.objects.get().body)["message"] == character * 2000


def test_one_database_locked_does_not_keep_the_other_waiting():
    with locked("jobs", "jobs_job"):
        assert open_()[0] is Opened.NEW
        assert connections["audit"].get_autocommit()
