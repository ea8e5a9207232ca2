"""Events of an attempt whose writer knows where it stands: it is not read again, unless it has moved meanwhile."""

import pytest
from django.db import IntegrityError, connections
from django.test.utils import CaptureQueriesContext

from audit import services
from audit.choices import Kind
from audit.models import Attempt
from audit.proof.verification import verify
from audit.tests.making import kinds_of, make_attempt, record, row, tampering

pytestmark = pytest.mark.usefixtures("databases")


def record_known(attempt, *kinds, **body):
    return services.record_events(attempt.attempt_id, [(kind, body) for kind in kinds], wait_s=20, known=attempt)


def test_events_of_a_known_attempt_are_written_without_reading_it():
    attempt, alike = make_attempt(cids=["a"]), make_attempt(cids=["b"])
    with CaptureQueriesContext(connections["audit"]) as captured:
        moved = record_known(attempt, Kind.ACCEPTED, http_status=201)
    assert not [query["sql"] for query in captured if "FROM audit_attempt" in query["sql"]]
    record(alike, Kind.ACCEPTED, http_status=201)
    own = {"id", "attempt_id", "created_at", "decided_at", "list_digest", "payload_digest"}
    assert {name: value for name, value in row(moved).items() if name not in own} == {
        name: value for name, value in row(alike).items() if name not in own
    }
    assert Attempt.objects.get(pk=attempt.pk).decided_at == moved.decided_at
    record_known(moved, Kind.RECORDED)
    assert (row(moved)["is_open"], row(moved)["job_owed"]) == (False, False)
    assert kinds_of(attempt) == ["INTENT", "ACCEPTED", "RECORDED"]
    assert verify().is_whole


@pytest.mark.parametrize("kinds", [(Kind.UNKNOWN,), (Kind.UNKNOWN, Kind.APPLIED), (Kind.ACCEPTED,)])
def test_of_one_that_moved_meanwhile_events_are_added_to_what_it_is_now(kinds):
    attempt = make_attempt()
    record(attempt, *kinds)
    moved = record_known(attempt, Kind.ACCEPTED, Kind.RECORDED)
    assert kinds_of(attempt) == ["INTENT", *dict.fromkeys((*kinds, Kind.ACCEPTED)), "RECORDED"]
    assert (moved.outcome, row(attempt)["is_open"], row(attempt)["job_owed"]) == ("accepted", False, False)
    assert verify().is_whole


def test_an_attempt_that_fails_to_move_is_left_as_it_was_known():
    attempt = make_attempt()
    before = row(attempt)
    record(attempt, Kind.ACCEPTED)
    with tampering() as cursor:
        cursor.execute("UPDATE audit_attempt SET outcome = 'pending', job_owed = %s", [False])
    with pytest.raises(IntegrityError):  # the event is there, whatever the row says
        record_known(attempt, Kind.ACCEPTED)
    assert (attempt.outcome, kinds_of(attempt)) == (before["outcome"], ["INTENT", "ACCEPTED"])
    services.record_events(attempt.attempt_id, [(Kind.ACCEPTED, {})], wait_s=20)
    assert kinds_of(attempt) == ["INTENT", "ACCEPTED"]


@pytest.mark.sqlite
def test_an_event_is_added_whatever_somebody_else_wrote_into_the_row():
    attempt = make_attempt()
    with tampering() as cursor:
        cursor.execute(
            "UPDATE audit_attempt SET is_open = 2"
        )  # which is read as true, and equals nothing that we write
    moved = record_known(attempt, Kind.ACCEPTED, http_status=200)
    assert (kinds_of(attempt), moved.outcome, row(attempt)["outcome"]) == (
        ["INTENT", "ACCEPTED"],
        "accepted",
        "accepted",
    )
