"""Rows and the customer index are compared with the entries that they were drawn from."""

import pytest

from audit.models import Attempt, AttemptCustomer, AuditEntry
from audit.proof.projection import problems_of_attempt
from audit.proof.tests.test_verify import found_after
from audit.proof.verification import verify
from audit.tests.making import tampering

pytestmark = pytest.mark.usefixtures("databases", "empty_seal_dir")


ROW = "UPDATE audit_attempt SET {} WHERE id = (SELECT min(id) FROM audit_attempt)"


def of_attempt(sequence):
    return AuditEntry.objects.get(sequence=sequence).attempt_id


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        (ROW.format("outcome = 'rejected'"), "Its row says that outcome is 'rejected'; the entries say 'accepted'."),
        (ROW.format("user_id = 'eve'"), "Its row says that user_id is 'eve'; the entries say 'olivia'."),
        (ROW.format("customer_count = 7"), "Its row says that customer_count is 7; the entries say 2."),
        (ROW.format("error_message = 'x'"), "Its row says that error_message is 'x'; the entries say ''."),
        (ROW.format("http_status = NULL"), "Its row says that http_status is None; the entries say 200."),
        (
            "DELETE FROM audit_attemptcustomer WHERE cid = 'b2'",
            "The customer index does not hold the ids of entry 1: it lacks b2.",
        ),
        (
            "UPDATE audit_attemptcustomer SET cid = 'x' WHERE cid = 'a1'",
            "The customer index does not hold the ids of entry 1: it lacks a1.",
        ),
        (
            "INSERT INTO audit_attemptcustomer (segment, attempt_id, cid) SELECT 0, min(id), 'x' FROM audit_attempt",
            "The customer index does not hold the ids of entry 1: it also holds x.",
        ),
    ],
)
def test_rows_that_say_something_else_than_the_entries_are_found(audited, statement, problem):
    assert found_after(statement) == [f"attempt {of_attempt(1)}: {problem}"]


@pytest.mark.parametrize("field", ["created_at", "decided_at", "is_open", "job_owed", "payload_digest"])
def test_every_fact_of_a_row_is_compared(audited, field):
    value = {"is_open": "TRUE", "job_owed": "TRUE"}.get(field, "'2026-01-01 00:00:00'")
    [found] = found_after(ROW.format(f"{field} = {value}"))
    assert found.startswith(f"attempt {of_attempt(1)}: Its row says that {field} is ")


@pytest.mark.sqlite
def test_index_rows_of_an_attempt_that_is_gone_are_found(audited):
    with tampering() as cursor:
        cursor.execute("PRAGMA foreign_keys = OFF")
        cursor.execute("DELETE FROM audit_attempt WHERE id = (SELECT min(id) FROM audit_attempt)")
        cursor.execute("PRAGMA foreign_keys = ON")
    assert [finding.problem for finding in verify().findings] == [
        "Entry 1 opens it, but it has no row.",
        "2 rows belong to no attempt.",
    ]


def test_index_rows_where_nobody_looks_for_them_are_found(audited):
    found = found_after("UPDATE audit_attemptcustomer SET segment = 7 WHERE cid = 'b2'")
    assert found == [
        f"attempt {of_attempt(1)}: The customer index does not hold the ids of entry 1: it lacks b2.",
        "customer index: 1 rows belong to no attempt.",
    ]
    assert problems_of_attempt(of_attempt(1)) == ["The customer index does not hold the ids of entry 1: it lacks b2."]


def test_rows_without_entries_and_entries_without_rows_are_found(audited):
    attempt = Attempt.objects.get(attempt_id=of_attempt(4))
    AttemptCustomer.objects.filter(attempt=attempt).delete()
    Attempt.objects.filter(pk=attempt.pk).delete()
    assert found_after(ROW.format("source = source")) == [
        f"attempt {attempt.attempt_id}: Entry 4 opens it, but it has no row."
    ]
    attempt.pk = None
    attempt.save()
    AttemptCustomer(segment=0, attempt=attempt, cid="c3").save()
    assert verify().is_whole
    alone = Attempt.objects.get(pk=attempt.pk)
    alone.pk, alone.attempt_id = None, "00000000-0000-4000-8000-000000000001"
    alone.save()
    assert [finding.problem for finding in verify().findings] == ["It has a row, but no entry says so."]


@pytest.mark.sqlite
def test_a_yes_or_no_that_is_neither_is_found(audited):
    """SQL takes it for yes, and Python for no."""
    assert found_after(ROW.format("is_open = -1")) == [
        f"attempt {of_attempt(1)}: Its row says that is_open is -1; the entries say False."
    ]
