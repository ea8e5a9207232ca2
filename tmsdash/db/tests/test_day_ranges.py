"""Which keys the rows of a day have: whatever the clock did, no row of a period is outside of them."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections

from audit.models import Attempt, AttemptDay
from audit.tests.making import make_attempt
from tmsdash.db import day_ranges
from tmsdash.db.day_ranges import extend, fill, keys_of_period

pytestmark = pytest.mark.usefixtures("databases")

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Ranges that are extended by two rows at once, as soon as two are missing, up to the last but one."""
    monkeypatch.setattr(day_ranges, "LAG", 1)
    monkeypatch.setattr(day_ranges, "MANY", 2)
    monkeypatch.setattr(day_ranges, "AT_ONCE", 2)


def attempts_of(*days):
    """Attempts of so many days after the 10th, in the order of their keys."""
    attempts = [make_attempt() for _ in days]
    for attempt, day in zip(attempts, days, strict=True):
        Attempt.objects.filter(pk=attempt.pk).update(created_at=NOON + timedelta(days=day))
    return [attempt.pk for attempt in attempts]


def keys(first=None, last=None):
    """The keys of the attempts that a list of a period looks at."""
    return [*Attempt.objects.filter(keys_of_period(AttemptDay, Attempt, first, last)).values_list("pk", flat=True)]


def test_a_day_has_the_keys_of_its_first_and_its_last_row():
    pks = attempts_of(0, 0, 1, 3, 3, 3, 4)
    extend(AttemptDay, Attempt)
    assert [(str(day.day), day.first, day.last) for day in AttemptDay.objects.order_by("day")] == [
        ("2026-03-10", pks[0], pks[1]),
        ("2026-03-11", pks[2], pks[2]),
        ("2026-03-13", pks[3], pks[5]),
    ]


def test_a_migration_makes_the_same_ranges():
    attempts_of(0, 0, 1, -30, 3, 3, 4)
    extend(AttemptDay, Attempt)
    extended = [*AttemptDay.objects.order_by("day").values()]
    AttemptDay.objects.all().delete()
    fill(AttemptDay, Attempt, "audit")
    assert [*AttemptDay.objects.order_by("day").values()] == extended


def test_a_period_is_narrowed_to_its_keys():
    pks = attempts_of(0, 0, 1, 2, 2, 3, 4)
    extend(AttemptDay, Attempt)
    assert sorted(keys(first=NOON + timedelta(days=2))) == pks[3:]
    assert sorted(keys(last=NOON + timedelta(days=1))) == pks[:3]
    assert sorted(keys(NOON + timedelta(days=1), NOON + timedelta(days=2))) == pks[2:5]
    assert keys(NOON - timedelta(days=2), NOON - timedelta(days=1)) == []


@pytest.mark.parametrize("extended", [True, False])
def test_no_row_of_a_period_is_left_out_wherever_the_clock_stood(extended):
    # Set forward and back, and old rows imported; the last rows are in no range.
    attempts_of(0, 1, 5, 5, 1, 2, -300, -299, 2, 3, 3, 7, 2)
    if extended:
        extend(AttemptDay, Attempt)
    moments = [None, *(NOON + timedelta(days=day, hours=hours) for day in (-300, 0, 1, 2, 3, 6) for hours in (-1, 1))]
    for first, last in itertools.product(moments, moments):
        rows = Attempt.objects.all()
        rows = rows.filter(created_at__gte=first) if first else rows
        rows = rows.filter(created_at__lte=last) if last else rows
        assert set(rows.values_list("pk", flat=True)) <= set(keys(first, last)), (first, last)


def test_whoever_finds_many_rows_missing_adds_some():
    attempts_of(0, 1, 2, 3, 4, 5)
    keys(first=NOON)
    assert AttemptDay.objects.count() == 2
    keys(first=NOON)
    keys(first=NOON)
    assert AttemptDay.objects.count() == 4  # the fifth is not many, and the sixth too new


def test_a_standby_adds_none(settings):
    settings.TMS_PASSIVE = True
    pks = attempts_of(0, 1, 2, 3)
    assert sorted(keys(first=NOON)) == pks
    assert AttemptDay.objects.count() == 0


@pytest.mark.sqlite
def test_an_audit_that_takes_no_writes_is_listed_all_the_same(caplog):
    pks = attempts_of(0, 1, 2, 3)
    with connections["audit"].cursor() as cursor:
        cursor.execute("PRAGMA query_only=ON")
        try:
            assert sorted(keys(first=NOON)) == pks
        finally:
            connections["audit"].close()
    assert "the ranges in audit_attemptday were not extended" in caplog.text
