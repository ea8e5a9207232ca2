"""Months that are over are tallied once, and the summary says what it would say if it counted every attempt."""

from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit import tallies
from audit.choices import Kind, Outcome, Source
from audit.models import Attempt, AttemptDay, AuditEntry, DayTally, EntryDay, MonthTally, TalliedMonth
from audit.summary import summarize
from audit.tallies import catch_up, tallied_months, tally
from audit.tests.making import make_attempt, record, refuse
from tmsdash.db import day_ranges
from tmsdash.tests.fixtures import signed_in

pytestmark = pytest.mark.usefixtures("databases")

DAY_TALLIES = "0020_day_tallies"
JANUARY, MARCH = datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 3, 31, 23, 59, 59, 999_999, tzinfo=UTC)
APRIL = MARCH + timedelta(days=30)
PERIODS = [
    (None, None),
    (JANUARY, None),
    (JANUARY + timedelta(days=20), None),
    (None, MARCH),
    (JANUARY, APRIL - timedelta(days=10)),
    (JANUARY, JANUARY + timedelta(days=50)),  # by day
    (JANUARY + timedelta(days=8, hours=23), JANUARY + timedelta(days=58, hours=1)),
    (JANUARY + timedelta(days=9), JANUARY + timedelta(days=10) - timedelta(microseconds=1)),  # one whole day
    (JANUARY + timedelta(days=9, microseconds=1), JANUARY + timedelta(days=10, microseconds=-2)),
    (JANUARY + timedelta(days=9, microseconds=1), JANUARY + timedelta(days=56, microseconds=-1)),
]
FILTERS = [
    {},
    {"user_id": "oscar"},
    {"action_code__exact": "2", "source": "form"},
    {"cluster_url": "https://x.example"},
]


def at(moment, attempt):
    Attempt.objects.filter(pk=attempt.pk).update(created_at=moment)
    attempt.refresh_from_db()
    return attempt


@pytest.fixture
def attempts():
    """Some in each month from January to April 2025, one of February in doubt."""
    for month in range(4):
        begin = (JANUARY + timedelta(days=31 * month)).replace(day=1)
        at(begin, make_attempt(Kind.ACCEPTED, Kind.RECORDED, cids=("a", "b")))
        at(begin + timedelta(days=9), make_attempt(Kind.ACCEPTED, cids=("c",), user_id="oscar"))
        at(begin + timedelta(days=25), make_attempt(Kind.REJECTED, message="No", cluster_url="https://x.example"))
        at(begin + timedelta(days=27), refuse(source=Source.API))
    return at(JANUARY + timedelta(days=40), make_attempt(Kind.UNKNOWN, cids=("d",), message="lost"))


def tally_all():
    while tallied_months(None, MARCH + timedelta(days=60)) != ["2025-01", "2025-02", "2025-03", "2025-04"]:
        pass


def assert_same():
    """What the tallies say is what counting says, for each period and filter."""
    for first, last in PERIODS:
        for conditions in FILTERS:
            rows = Attempt.objects.filter(**conditions)
            tallies = MonthTally.objects.filter(**conditions) if conditions else DayTally.objects.all()
            counted, tallied = summarize(rows, first, last), summarize(rows, first, last, tallies)
            assert sorted(tallied.outcomes) == sorted(counted.outcomes), (first, last, conditions)
            assert (tallied.periods, tallied.total, tallied.customers) == (
                counted.periods,
                counted.total,
                counted.customers,
            )


def test_the_summary_is_the_same_with_and_without_tallies(attempts):
    assert_same()
    tally_all()
    assert_same()


@pytest.mark.parametrize("extended", [True, False])
def test_a_month_that_gets_another_attempt_is_counted_again(attempts, monkeypatch, extended):
    monkeypatch.setattr(day_ranges, "LAG", 0)
    tally_all()
    at(JANUARY + timedelta(days=3), make_attempt(Kind.ACCEPTED, cids=("late",)))
    if extended:
        day_ranges.extend(AttemptDay, Attempt)
    assert tallied_months(JANUARY, MARCH) == ["2025-02", "2025-03"]
    assert tallied_months(JANUARY, MARCH) == ["2025-01", "2025-02", "2025-03"]  # tallied anew meanwhile
    assert_same()


def test_a_doubt_that_is_settled_is_counted_as_what_it_became(attempts):
    tally_all()
    assert not MonthTally.objects.filter(outcome=Outcome.UNKNOWN).exists()
    record(attempts, Kind.APPLIED, Kind.RECORDED)
    assert tallied_months(JANUARY, MARCH) == ["2025-01", "2025-03"]
    assert_same()
    assert MonthTally.objects.get(outcome=Outcome.APPLIED).customers == 1
    assert_same()


def test_an_outcome_that_changes_after_its_month_was_tallied_is_counted_as_what_it_became(attempts):
    record(attempts, Kind.DECIDED, ruling="not_applied")
    tally_all()
    assert MonthTally.objects.filter(outcome=Outcome.DECIDED_NOT_APPLIED).exists()
    record(attempts, Kind.ACCEPTED, Kind.RECORDED)
    assert_same()
    tally_all()
    assert not MonthTally.objects.filter(outcome=Outcome.DECIDED_NOT_APPLIED).exists()
    assert_same()


def test_what_changes_no_outcome_leaves_the_tallies_alone(attempts):
    tally_all()
    record(Attempt.objects.filter(outcome=Outcome.ACCEPTED, job_owed=True).first(), Kind.RECORDED)
    make_attempt(Kind.ACCEPTED, Kind.RECORDED)
    assert TalliedMonth.objects.count() == 4


def test_attempts_of_the_old_dashboard_are_in_no_tally(attempts):
    Attempt.objects.filter(user_id="oscar").update(source=Source.LEGACY)
    tally("2025-01")
    assert not MonthTally.objects.filter(user_id="oscar").exists()


@pytest.mark.parametrize(
    ("model", "first", "last", "total"),
    [
        (MonthTally, JANUARY, APRIL, 17),
        (DayTally, JANUARY, APRIL, 17),
        (DayTally, JANUARY, JANUARY + timedelta(days=50), 7),
        (DayTally, JANUARY + timedelta(days=9), JANUARY + timedelta(days=56), 7),
    ],
)
def test_what_is_tallied_is_not_read(attempts, model, first, last, total):
    tally_all()
    with CaptureQueriesContext(connections["audit"]) as captured:
        assert summarize(Attempt.objects.all(), first, last, model.objects.all()).total == total
    passes = [query["sql"] for query in captured if "GROUP BY" in query["sql"] and '"audit_attempt"' in query["sql"]]
    passes = [sql for sql in passes if "error_message" not in sql and "is_open" not in sql and "MIN(" not in sql]
    # What is left of the last day, read through the keys of that day.
    assert len(passes) == (last != APRIL)
    assert all('"audit_attempt"."id" >=' in sql for sql in passes)


def test_days_of_months_that_were_tallied_before_there_were_days_are_tallied_too(attempts):
    tally_all()
    days = [*DayTally.objects.order_by("pk").values_list("day", "outcome", "attempts", "customers")]
    DayTally.objects.all().delete()
    migration = import_module(f"audit.migrations.{DAY_TALLIES}")
    migration.tally_days(apps, connections["audit"].schema_editor())
    assert sorted(days) == sorted(DayTally.objects.values_list("day", "outcome", "attempts", "customers"))
    assert len(days) == 16


def test_after_many_attempts_at_once_everything_is_made_at_once(attempts, monkeypatch):
    monkeypatch.setattr(day_ranges, "LAG", 0)
    catch_up()
    assert [*TalliedMonth.objects.order_by("month").values_list("month", flat=True)] == [
        *("2025-01", "2025-02", "2025-03", "2025-04"),
    ]
    assert AttemptDay.objects.count() == 16
    assert EntryDay.objects.get().last == AuditEntry.objects.count()


def test_a_month_that_is_not_over_is_not_tallied():
    make_attempt(Kind.ACCEPTED)
    assert tallied_months(None, datetime.now(UTC)) == []
    assert TalliedMonth.objects.count() == 0


def test_a_standby_tallies_nothing(attempts, settings):
    settings.TMS_PASSIVE = True
    assert_same()
    assert TalliedMonth.objects.count() == 0


@pytest.mark.sqlite
def test_an_audit_that_takes_no_writes_is_summed_up_all_the_same(attempts, caplog):
    with connections["audit"].cursor() as cursor:
        cursor.execute("PRAGMA query_only=ON")
    try:
        assert summarize(Attempt.objects.all(), JANUARY, None, MonthTally.objects.all()).total == 17
    finally:
        connections["audit"].close()
    assert "the attempts of 2025-01 were not tallied" in caplog.text


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (DayTally(day="2025-01~", outcome="accepted"), "2025-01"),
        (DayTally(day="2025-02-31", outcome="accepted"), "2025-02"),
    ]
    + [(MonthTally(month="2025-1~", action_code=2, outcome="accepted"), "2025-1~")],
)
def test_a_tally_of_what_is_no_day_or_month_is_named(attempts, model, named):
    tally_all()
    assert [*tallies.problems()] == []
    model.attempts = model.customers = 1000
    model.save(force_insert=True)
    assert any(named in problem for problem in tallies.problems())


def test_an_outcome_that_nobody_knows_breaks_no_page(attempts, adam):
    tally_all()
    DayTally.objects.filter(pk=DayTally.objects.first().pk).update(outcome="nonsense")
    assert signed_in(adam).get("/admin/jobs/job/?time=all").status_code == 200
    assert [*tallies.problems()]


def test_a_month_that_was_tallied_while_the_clock_was_ahead_is_forgotten_when_an_outcome_changes(monkeypatch):
    attempt, ahead = make_attempt(Kind.UNKNOWN, Kind.NOT_APPLIED), timezone.now() + timedelta(days=40)
    with monkeypatch.context() as patch:
        patch.setattr(timezone, "now", lambda: ahead)
        tallied_months(None, ahead)
    assert TalliedMonth.objects.exists()
    record(attempt, Kind.ACCEPTED)
    assert not TalliedMonth.objects.exists()
