"""Who changes ranges of days or tallies, to hide rows from lists or the summary, is found out."""

from datetime import UTC, datetime, timedelta

import pytest

from audit import tallies
from audit.choices import Kind
from audit.models import Attempt, AttemptDay, EntryDay, TalliedPeriod, Tally
from audit.proof.tests.test_verify import found_after
from audit.proof.verification import verify
from audit.tests.making import make_attempt, record, tampering
from tmsdash.db import day_ranges

pytestmark = pytest.mark.usefixtures("databases", "empty_seal_dir")

MARCH = datetime(2025, 3, 10, tzinfo=UTC)
STEP = "Run manage.py rebuild_lists."


@pytest.fixture
def listed(monkeypatch):
    """Five attempts of two days of March and April 2025, with all that lists and the summary use."""
    monkeypatch.setattr(day_ranges, "LAG", 0)
    for _ in range(5):
        make_attempt(Kind.ACCEPTED, Kind.RECORDED)
    with tampering() as cursor:
        cursor.execute("UPDATE audit_auditentry SET created_at = '2025-03-10 12:00:00.000000'")
    attempts = list(Attempt.objects.order_by("pk"))
    for attempt, days in zip(attempts, (0, 0, 40, 40, 0), strict=True):
        Attempt.objects.filter(pk=attempt.pk).update(created_at=MARCH + timedelta(days=days))
    tallies.catch_up()
    return [attempt.pk for attempt in attempts]


def of_lists(found):
    """What is found in lists and sums: the times of entries are made up here, which is found elsewhere."""
    return [line for line in found if line.startswith(("days of", "summary"))]


def found_in_lists():
    return of_lists([f"{finding.where}: {finding.problem}" for finding in verify().findings])


def test_what_the_product_made_is_right(listed):
    assert (AttemptDay.objects.count(), EntryDay.objects.count(), TalliedPeriod.objects.count()) == (2, 1, 6)
    assert found_in_lists() == []


def test_what_came_since_is_no_finding(listed):
    make_attempt(Kind.ACCEPTED)
    late = make_attempt(Kind.UNKNOWN)
    Attempt.objects.filter(pk=late.pk).update(created_at=MARCH)
    assert found_in_lists() == []
    tallies.catch_up()
    record(late, Kind.APPLIED)
    assert found_in_lists() == []


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        (
            "UPDATE audit_attemptday SET last = first WHERE day = '2025-03-10'",
            "days of attempts: The range of 2025-03-10, {0} to {0}, leaves out rows of {0} to {1}.",
        ),
        (
            "DELETE FROM audit_attemptday WHERE day = '2025-04-19'",
            "days of attempts: The rows of 2025-04-19, {2} to {3}, are in no range.",
        ),
        (
            "UPDATE audit_attemptday SET last = 1000000 WHERE day = '2025-03-10'",
            "days of attempts: The ranges go up to key 1,000,000, but the newest row has key {4}.",
        ),
        (
            "UPDATE audit_entryday SET first = 9",
            "days of entries: The range of 2025-03-10, 9 to 15, leaves out rows of 1 to 15.",
        ),
        (
            "UPDATE audit_tally SET attempts = attempts - 1 WHERE period = '2025-03' AND unit = 'month'",
            "summary: The tally of 2025-03 is not what its attempts amount to.",
        ),
        (
            "DELETE FROM audit_tally WHERE period = '2025-04' AND unit = 'month'",
            "summary: The tally of 2025-04 is not what its attempts amount to.",
        ),
        (
            "UPDATE audit_tally SET customers = customers + 1 WHERE period = '2025-03-10'",
            "summary: The tally of 2025-03-10 is not what its attempts amount to.",
        ),
        (
            "DELETE FROM audit_tally WHERE period = '2025-04-19'",
            "summary: The tally of 2025-04-19 is not what its attempts amount to.",
        ),
        (
            "UPDATE audit_tally SET attempts = attempts + 1 WHERE period = '2025-04' AND unit = 'total'",
            "summary: The total of 2025-04 is not what its attempts amount to.",
        ),
        (
            "UPDATE audit_talliedperiod SET last_key = 1000000 WHERE period = '2025-03' AND unit = 'month'",
            "summary: The tally of 2025-03 claims to know attempt 1,000,000; the newest is {4}.",
        ),
    ],
)
def test_what_hides_rows_is_found_and_made_anew(listed, statement, finding):
    assert of_lists(found_after(statement)) == [f"{finding.format(*listed)} {STEP}"]
    tallies.rebuild()
    assert found_in_lists() == []
    assert Tally.objects.count() == TalliedPeriod.objects.count() == 6


@pytest.mark.sqlite
def test_keys_that_are_no_numbers_are_found(listed):
    found = of_lists(found_after("UPDATE audit_attemptday SET first = 'x' WHERE day = '2025-03-10'"))
    assert found == [f"days of attempts: A range has a key that is no number. {STEP}"]


@pytest.mark.sqlite
def test_a_time_that_is_none_is_found_and_breaks_nothing(listed):
    assert of_lists(
        found_after("UPDATE audit_attempt SET created_at = 'gone' WHERE id = (SELECT min(id) FROM audit_attempt)")
    ) == [
        f"days of attempts: The rows of gone, {listed[0]} to {listed[0]}, are in no range. {STEP}",
        f"summary: The tally of 2025-03-10 is not what its attempts amount to. {STEP}",
        f"summary: The tally of 2025-03 is not what its attempts amount to. {STEP}",
        f"summary: The total of 2025-03 is not what its attempts amount to. {STEP}",
    ]
