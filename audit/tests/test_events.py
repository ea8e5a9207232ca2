"""What happens to an attempt after it was opened, and that nothing of it is ever changed."""

import math
import uuid
from datetime import UTC, datetime

import pytest
from django.db import DatabaseError, IntegrityError

from audit import services
from audit.actors import Actor
from audit.choices import Kind
from audit.models import Attempt, AuditEntry
from audit.selectors import outcome_body
from audit.tests.making import kinds_of, make_attempt, record, refuse, row
from tmsdash.tests.tools import at_once, locked, table_missing

pytestmark = pytest.mark.usefixtures("databases")


def state(attempt):
    """Outcome, whether it is open and whether a Job is owed, as they are in the database."""
    stored = row(attempt)
    return stored["outcome"], stored["is_open"], stored["job_owed"]


# -- Where each kind of event takes the attempt -------------------------------------------------------------------


STEPS = [
    ((), ("pending", True, False)),
    ((Kind.ACCEPTED,), ("accepted", True, True)),
    ((Kind.ACCEPTED, Kind.RECORDED), ("accepted", False, False)),
    ((Kind.REJECTED,), ("rejected", False, False)),
    ((Kind.NOT_SENT,), ("not_sent", False, False)),
    ((Kind.UNKNOWN,), ("unknown", True, False)),
    ((Kind.UNKNOWN, Kind.APPLIED), ("applied", True, True)),
    ((Kind.UNKNOWN, Kind.APPLIED, Kind.RECORDED), ("applied", False, False)),
    ((Kind.UNKNOWN, Kind.NOT_APPLIED), ("not_applied", False, False)),
    ((Kind.UNKNOWN, Kind.ACCEPTED), ("accepted", True, True)),
    ((Kind.UNKNOWN, Kind.DECIDED), ("decided_applied", True, True)),
    ((Kind.DECIDED, Kind.RECORDED), ("decided_applied", False, False)),
    # Where events disagree: TMS's own reply beats a reading, a reading beats a person, all beat "unknown".
    ((Kind.NOT_APPLIED, Kind.ACCEPTED), ("accepted", True, True)),
    ((Kind.NOT_APPLIED, Kind.ACCEPTED, Kind.RECORDED), ("accepted", False, False)),
    ((Kind.ACCEPTED, Kind.NOT_APPLIED), ("accepted", True, True)),
    ((Kind.ACCEPTED, Kind.RECORDED, Kind.NOT_APPLIED), ("accepted", False, False)),
    ((Kind.APPLIED, Kind.RECORDED, Kind.ACCEPTED), ("accepted", False, False)),
    ((Kind.APPLIED, Kind.REJECTED), ("rejected", False, False)),
    ((Kind.REJECTED, Kind.APPLIED), ("rejected", False, False)),
    ((Kind.DECIDED, Kind.NOT_APPLIED), ("not_applied", False, False)),
    ((Kind.NOT_APPLIED, Kind.DECIDED), ("not_applied", False, False)),
    ((Kind.NOT_APPLIED, Kind.UNKNOWN), ("not_applied", False, False)),
    ((Kind.DECIDED, Kind.UNKNOWN), ("decided_applied", True, True)),
]


@pytest.mark.parametrize(("kinds", "expected"), STEPS)
@pytest.mark.parametrize("one_by_one", [True, False])
def test_each_kind_moves_the_attempt_to_its_place(kinds, expected, one_by_one):
    attempt = make_attempt()
    for step in [(kind,) for kind in kinds] if one_by_one else [kinds]:
        attempt = record(attempt, *step)
    assert state(attempt) == expected
    assert (attempt.outcome, attempt.is_open, attempt.job_owed) == expected  # what is returned is what is stored
    assert attempt.has_job is (Kind.RECORDED in kinds)
    assert kinds_of(attempt) == ["INTENT", *kinds]
    assert (row(attempt)["decided_at"] is None) is (not kinds)


def test_there_is_a_row_above_for_every_kind():
    following = {kind for kind in Kind if kind.needs_attempt and not kind.opens_attempt}
    assert following == {kind for kinds, _ in STEPS for kind in kinds}
    assert state(refuse()) == ("refused", False, False)


def test_a_person_may_rule_that_nothing_was_applied():
    attempt = record(make_attempt(Kind.UNKNOWN), Kind.DECIDED, ruling="not_applied", message="Asked them.")
    assert state(attempt) == ("decided_not_applied", False, False)
    assert outcome_body(attempt)["message"] == row(attempt)["error_message"] == "Asked them."


def test_the_outcome_rests_on_the_event_that_is_trusted_most_whatever_came_last():
    attempt = make_attempt(Kind.NOT_APPLIED, message="read")
    record(attempt, Kind.REJECTED, message="refused")
    record(attempt, Kind.UNKNOWN, message="late")
    assert outcome_body(attempt)["message"] == row(attempt)["error_message"] == "refused"
    assert Attempt.objects.get().decided_at == AuditEntry.objects.get(kind=Kind.REJECTED).created_at


# -- What is settled by a reading or a person -----------------------------------------------------------------------

SHIFT_LEAD = Actor(user_id="adam", ip_address="10.0.0.9")


def test_an_attempt_in_doubt_is_settled_in_the_name_of_who_did_it():
    attempt = make_attempt(Kind.UNKNOWN, user_id="olivia")
    settled, _ = services.close_doubt(attempt.attempt_id, (Kind.NOT_APPLIED, {}), wait_s=20, actor=SHIFT_LEAD)
    assert state(settled) == ("not_applied", False, False)
    entry = AuditEntry.objects.get(kind=Kind.NOT_APPLIED)
    assert (entry.user_id, entry.ip_address, row(settled)["user_id"]) == ("adam", "10.0.0.9", "olivia")


@pytest.mark.parametrize("known", [Kind.ACCEPTED, Kind.REJECTED, Kind.NOT_SENT, Kind.APPLIED, Kind.NOT_APPLIED])
def test_what_is_known_meanwhile_is_not_settled_once_more(known):
    attempt = make_attempt(known)
    for event in ((Kind.APPLIED, {}), (Kind.NOT_APPLIED, {}), (Kind.DECIDED, {"ruling": "applied"})):
        services.close_doubt(attempt.attempt_id, event, wait_s=20, actor=SHIFT_LEAD)
    assert kinds_of(attempt) == ["INTENT", known]


def test_of_two_readings_that_come_at_once_one_counts():
    attempt = make_attempt(Kind.UNKNOWN)
    events = [(Kind.APPLIED, {}), (Kind.NOT_APPLIED, {})]
    at_once(8, lambda n: services.close_doubt(attempt.attempt_id, events[n % 2], wait_s=20, actor=SHIFT_LEAD))
    assert len(kinds_of(attempt)) == 3


@pytest.mark.parametrize("kind", [Kind.REJECTED, Kind.NOT_SENT, Kind.UNKNOWN, Kind.NOT_APPLIED])
def test_status_and_message_of_what_went_wrong_are_shown(kind):
    attempt = make_attempt(kind, http_status=503, message="not\nReady")
    stored = row(attempt)
    assert (stored["http_status"], stored["error_message"]) == (503, r"not\nReady")
    assert outcome_body(attempt) == {"http_status": 503, "message": "not\nReady"}


@pytest.mark.parametrize("kind", [Kind.ACCEPTED, Kind.APPLIED])
def test_a_message_of_success_is_no_error(kind):
    attempt = make_attempt(Kind.UNKNOWN, http_status=None, message="timeout")
    record(attempt, kind, http_status=201, message="Sending action")
    assert (row(attempt)["http_status"], row(attempt)["error_message"]) == (201, "")


def test_recorded_tells_of_the_job_only():
    attempt = make_attempt(Kind.ACCEPTED, http_status=201)
    before = row(attempt)
    record(attempt, Kind.RECORDED, job_id="x", http_status=500, message="no outcome")
    assert row(attempt) == before | {"is_open": False, "job_owed": False}


@pytest.mark.parametrize("body", [{}, {"message": None, "http_status": None}, {"message": ""}])
def test_an_event_may_have_neither_status_nor_message(body):
    attempt = record(make_attempt(), Kind.UNKNOWN, **body)
    assert (row(attempt)["http_status"], row(attempt)["error_message"]) == (None, "")


# -- Each kind once -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind.needs_attempt and not kind.opens_attempt])
def test_an_event_that_comes_again_changes_nothing(kind):
    attempt = record(make_attempt(), kind, http_status=200, message="first")
    before, entries = row(attempt), list(AuditEntry.objects.values())
    record(attempt, kind, http_status=500, message="second")
    assert row(attempt) == before
    assert list(AuditEntry.objects.values()) == entries


def test_of_several_events_those_that_are_new_are_added():
    attempt = make_attempt(Kind.ACCEPTED)
    record(attempt, Kind.ACCEPTED, Kind.RECORDED)
    assert kinds_of(attempt) == ["INTENT", "ACCEPTED", "RECORDED"]
    assert state(attempt) == ("accepted", False, False)


def test_the_database_itself_takes_each_kind_once():
    attempt = make_attempt(Kind.ACCEPTED)
    values = {"kind": Kind.ACCEPTED, "created_at": datetime.now(UTC), "user_id": "eve", "body": "{}"}
    with pytest.raises(IntegrityError):
        AuditEntry(sequence=100, attempt_id=attempt.attempt_id, **values).save()
    AuditEntry(sequence=100, attempt_id=uuid.uuid4(), **values).save()


def test_an_attempt_that_was_never_opened_has_no_events():
    with pytest.raises(Attempt.DoesNotExist):
        services.record_events(uuid.uuid4(), [(Kind.ACCEPTED, {})], wait_s=20)
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("round_", range(3))
def test_events_that_are_recorded_at_once_all_count(round_):
    """Each reads the row, moves it and saves it: none may save over what another moved meanwhile."""
    attempt = make_attempt(Kind.UNKNOWN)
    steps = [(Kind.APPLIED,), (Kind.APPLIED, Kind.RECORDED)]
    at_once(8, lambda number: record(attempt, *steps[number % 2], http_status=None))
    assert kinds_of(attempt) == ["INTENT", "UNKNOWN", "APPLIED", "RECORDED"]
    assert state(attempt) == ("applied", False, False)


# -- Nothing half written -----------------------------------------------------------------------------------------


def test_when_one_of_several_events_fails_none_is_written():
    attempt = make_attempt()
    before = row(attempt)
    events = [(Kind.UNKNOWN, {"message": "a"}), (Kind.APPLIED, {"data": math.inf})]
    with pytest.raises(ValueError, match="JSON"):
        services.record_events(attempt.attempt_id, events, wait_s=20)
    assert (row(attempt), kinds_of(attempt)) == (before, ["INTENT"])


def test_when_the_events_cannot_be_written_the_attempt_does_not_move():
    attempt = make_attempt()
    before = row(attempt)
    with table_missing("audit", "audit_auditentry"), pytest.raises(DatabaseError):
        record(attempt, Kind.ACCEPTED)
    assert (row(attempt), kinds_of(attempt)) == (before, ["INTENT"])


def test_a_locked_audit_is_an_error_after_the_wait_and_can_be_written_later():
    attempt = make_attempt()
    with locked("audit", "audit_auditentry"), pytest.raises(DatabaseError):
        services.record_events(attempt.attempt_id, [(Kind.ACCEPTED, {})], wait_s=0.05)
    assert kinds_of(attempt) == ["INTENT"]
    record(attempt, Kind.ACCEPTED)
    assert state(attempt) == ("accepted", True, True)
