"""Days and months that are over are tallied once; the summary says what it would say if it counted every attempt."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connections
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit import tallies
from audit.choices import Kind, Outcome, Source
from audit.models import Attempt, AttemptDay, AuditEntry, EntryDay, TalliedPeriod, Tally, Unit
from audit.proof import append_only
from audit.summary import count, summarize
from audit.tallies import BEGINNING, MOMENT, catch_up, tallies_of
from audit.tally_state import TallyState
from audit.tests.making import make_attempt, record, refuse
from tmsdash.db import day_ranges
from tmsdash.db.schema import schema_problems
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.usefixtures("databases")

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
    {"outcome__exact": "accepted"},
    {"action_code__exact": "0"},
    {"source": "api"},
]


def tallied_spans(unit, first, last):
    """The parts of a period whose tallies hold."""
    return tallies.tallied_spans(TallyState.of([unit], first, last), unit, first, last)


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
    for unit in Unit:
        for _ in range(4):  # a month at a time
            tallied_spans(unit, BEGINNING, timezone.now())


def days(spans):
    """The first and the last day of each span, which consists of whole days."""
    assert all((begin.hour, (end + MOMENT).hour) == (0, 0) for begin, end in spans)
    return [(f"{begin:%m-%d}", f"{end:%m-%d}") for begin, end in spans]


def assert_same(periods=PERIODS):
    """What the tallies say is what counting says, for each period, without filter and with one."""
    for number, (first, last) in enumerate(periods):
        for conditions in (FILTERS[0], FILTERS[1 + number % (len(FILTERS) - 1)]):
            rows, tallies = Attempt.objects.filter(**conditions), tallies_of(**conditions)
            counted, tallied = summarize(rows, first, last), summarize(rows, first, last, tallies)
            assert sorted(tallied.outcomes) == sorted(counted.outcomes), (first, last, conditions)
            assert (tallied.periods, tallied.total, tallied.customers) == (
                counted.periods,
                counted.total,
                counted.customers,
            )
            assert count(rows, tallies, first, last) == counted.total


def test_the_summary_is_the_same_with_and_without_tallies(attempts):
    assert_same()
    tally_all()
    assert_same()


@pytest.mark.parametrize("extended", [True, False])
def test_a_day_that_gets_another_attempt_is_counted_again(attempts, monkeypatch, extended):
    monkeypatch.setattr(day_ranges, "LAG", 0)
    tally_all()
    at(JANUARY + timedelta(days=3), make_attempt(Kind.ACCEPTED, cids=("late",)))
    if extended:
        day_ranges.extend(AttemptDay, Attempt)
    assert days(tallied_spans(Unit.MONTH, JANUARY, MARCH)) == [("02-01", "03-31")]
    assert days(tallied_spans(Unit.DAY, JANUARY, MARCH)) == [("01-01", "01-03"), ("01-05", "03-31")]
    for unit in (Unit.MONTH, Unit.DAY):  # tallied anew meanwhile
        assert days(tallied_spans(unit, JANUARY, MARCH)) == [("01-01", "03-31")]
    assert_same()


def test_a_doubt_that_is_settled_is_counted_as_what_it_became(attempts):
    tally_all()
    assert not Tally.objects.filter(outcome=Outcome.UNKNOWN).exists()
    record(attempts, Kind.APPLIED, Kind.RECORDED)
    assert days(tallied_spans(Unit.MONTH, JANUARY, MARCH)) == [("01-01", "01-31"), ("03-01", "03-31")]
    assert days(tallied_spans(Unit.DAY, JANUARY, MARCH)) == [("01-01", "02-09"), ("02-11", "03-31")]
    assert_same()
    applied = Tally.objects.filter(outcome=Outcome.APPLIED).order_by("unit")
    assert [*applied.values_list("unit", "period", "customers")] == [
        *[("day", "2025-02-10", 1), ("month", "2025-02", 1), ("total", "2025-02", 1)],
    ]
    assert_same()


def test_an_outcome_that_changes_after_its_day_was_tallied_is_counted_as_what_it_became(attempts):
    record(attempts, Kind.DECIDED, ruling="not_applied")
    tally_all()
    assert Tally.objects.filter(outcome=Outcome.DECIDED_NOT_APPLIED).count() == 3
    periods = {*TalliedPeriod.objects.values_list("period", flat=True)}
    record(attempts, Kind.ACCEPTED, Kind.RECORDED)
    assert periods - {*TalliedPeriod.objects.values_list("period", flat=True)} == {"2025-02-10", "2025-02"}
    assert_same()
    tally_all()
    assert not Tally.objects.filter(outcome=Outcome.DECIDED_NOT_APPLIED).exists()
    assert_same()


def test_what_changes_no_outcome_leaves_the_tallies_alone(attempts):
    tally_all()
    record(Attempt.objects.filter(outcome=Outcome.ACCEPTED, job_owed=True).first(), Kind.RECORDED)
    make_attempt(Kind.ACCEPTED, Kind.RECORDED)
    assert TalliedPeriod.objects.filter(unit=Unit.MONTH).count() == 4
    assert TalliedPeriod.objects.filter(unit=Unit.DAY).count() == 16


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_the_summary_says_what_counting_says(seed, monkeypatch):
    """Attempts of any time, in doubt or not, with outcomes that change later, a clock that is set back, summer time."""
    chance = random.Random(seed)  # noqa: S311
    monkeypatch.setattr(day_ranges, "LAG", chance.choice([0, 5]))
    monkeypatch.setattr(day_ranges, "MANY", chance.choice([1, 10]))
    begin = datetime(2025, 2, 20, tzinfo=UTC)  # summer time begins on 9 March in New York, on 30 March in Berlin

    def moment():
        # Around midnight in one of three time zones, or at any time.
        hours = chance.choice([0, 4, 5, 22, 23, chance.random() * 24])
        return begin + timedelta(days=chance.randrange(60), hours=hours, microseconds=chance.choice([-1, 0, 1]))

    def step():
        kinds = chance.choice(
            [(), (Kind.ACCEPTED,), (Kind.UNKNOWN,), (Kind.UNKNOWN, Kind.NOT_APPLIED), (Kind.REJECTED,)]
        )
        known = [*Attempt.objects.exclude(outcome__in=["accepted", "rejected"])]
        if known and chance.random() < 0.4:
            record(chance.choice(known), chance.choice([Kind.ACCEPTED, Kind.NOT_APPLIED, Kind.REJECTED]))
        else:
            user_id, url = chance.choice(["oscar", "olivia"]), chance.choice(["https://x.example", "https://y.example"])
            at(moment(), make_attempt(*kinds, user_id=user_id, cluster_url=url, cids="abc"[: chance.randrange(1, 4)]))

    with timezone.override(chance.choice(["America/New_York", "Europe/Berlin"])):
        for _ in range(8):
            for _ in range(5):
                step()
            first, last = sorted([moment(), moment()])
            assert_same([(first, last), (None, last), (first - timedelta(days=120), None)])
    assert [*tallies.problems()] == []
    assert TalliedPeriod.objects.filter(unit=Unit.DAY).exists()


def test_attempts_of_the_old_dashboard_are_tallied_but_not_in_the_summary(attempts, adam):
    Attempt.objects.filter(user_id="oscar").update(source=Source.LEGACY)
    tally_all()
    assert Tally.objects.filter(source=Source.LEGACY, unit=Unit.MONTH).count() == 4
    assert "13 attempts" in text_of(signed_in(adam).get("/admin/jobs/job/?time=all"))


@pytest.mark.parametrize(
    ("conditions", "first", "last", "total", "expected"),
    [
        ({}, JANUARY, APRIL, 17, 0),
        ({"user_id": "olivia"}, JANUARY, APRIL, 13, 0),
        ({}, JANUARY, JANUARY + timedelta(days=50), 7, 0),  # nothing was attempted on that day
        ({"user_id": "olivia"}, JANUARY, JANUARY + timedelta(days=50), 5, 0),
        ({}, JANUARY + timedelta(days=9), JANUARY + timedelta(days=56), 7, 1),
        ({}, JANUARY + timedelta(days=9, hours=1), JANUARY + timedelta(days=56), 6, 2),
    ],
)
def test_what_is_tallied_is_not_read(attempts, monkeypatch, conditions, first, last, total, expected):
    monkeypatch.setattr(day_ranges, "MANY", 10**9)  # PostgreSQL's keys go on from test to test, which looks like many
    tally_all()
    with CaptureQueriesContext(connections["audit"]) as captured:
        assert summarize(Attempt.objects.filter(**conditions), first, last, tallies_of(**conditions)).total == total
    assert len(captured) <= 4
    parts = [part for query in captured for part in query["sql"].split(" UNION ALL ")]
    passes = [sql for sql in parts if "GROUP BY" in sql and '"audit_attempt"' in sql]
    passes = [sql for sql in passes if all(word not in sql for word in ("error_message", "is_open", "MAX("))]
    # What is left of the first and the last day, read through the keys of that day.
    assert len(passes) == expected
    assert all('"audit_attempt"."id" >=' in sql for sql in passes)


@pytest.mark.sqlite
@pytest.mark.parametrize("conditions", [{}, {"user_id": "olivia"}, {"action_code": 2, "source": "form"}])
def test_tallies_are_read_in_the_order_of_their_key(conditions):
    for unit in Unit:
        of_period = tallies_of(**conditions).rows.filter(unit=unit, period__gte="2025-01", period__lte="2025-02")
        sums = of_period.order_by().values_list("period", "outcome").annotate(Sum("attempts"))
        [step] = sums.explain().splitlines()  # nothing is sorted
        assert step.endswith("SEARCH audit_tally USING PRIMARY KEY (unit=? AND period>? AND period<?)")


def test_migrations_make_all_tallies_and_take_them_away(attempts, monkeypatch):
    monkeypatch.setattr(day_ranges, "LAG", 0)
    catch_up()
    tables = {model: sorted(model.objects.values_list()) for model in (Tally, TalliedPeriod)}
    assert len(tables[Tally]) == 44
    try:
        call_command("migrate", "audit", "0022", database="audit", verbosity=0)
    finally:
        call_command("migrate", "audit", database="audit", verbosity=0)
    assert {model: sorted(model.objects.values_list()) for model in tables} == tables
    assert schema_problems("audit", append_only.PROGRAMS) == []


def test_after_many_attempts_at_once_everything_is_made_at_once(attempts, monkeypatch):
    monkeypatch.setattr(day_ranges, "LAG", 0)
    catch_up()
    assert [*TalliedPeriod.objects.filter(unit=Unit.MONTH).order_by("period").values_list("period", flat=True)] == [
        *("2025-01", "2025-02", "2025-03", "2025-04"),
    ]
    assert AttemptDay.objects.count() == TalliedPeriod.objects.filter(unit=Unit.DAY).count() == 16
    assert EntryDay.objects.get().last == AuditEntry.objects.count()


def test_a_day_is_tallied_once_it_has_been_over_for_a_day(monkeypatch):
    make_attempt(Kind.ACCEPTED)
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)
    for now, count_then in ((midnight - 2 * MOMENT, 0), (midnight, 1)):
        monkeypatch.setattr(timezone, "now", lambda now=now: now)
        tallied_spans(Unit.DAY, BEGINNING, now)
        assert TalliedPeriod.objects.count() == count_then
    assert tallied_spans(Unit.DAY, BEGINNING, midnight) == [(BEGINNING, midnight - timedelta(days=1) - MOMENT)]


def test_a_standby_tallies_nothing(attempts, settings):
    settings.TMS_PASSIVE = True
    assert_same()
    assert TalliedPeriod.objects.count() == 0


@pytest.mark.sqlite
def test_an_audit_that_takes_no_writes_is_summed_up_all_the_same(attempts, caplog):
    with connections["audit"].cursor() as cursor:
        cursor.execute("PRAGMA query_only=ON")
    try:
        assert summarize(Attempt.objects.all(), JANUARY, None, tallies_of()).total == 17
    finally:
        connections["audit"].close()
    assert "the attempts of 2025-01 were not tallied" in caplog.text


@pytest.mark.parametrize(
    ("unit", "period", "problem"),
    [
        (Unit.DAY, "2025-01~", "2025-01~, which is no day."),
        (Unit.DAY, "2025-02-31", "2025-02-31, which is no day."),
        (Unit.MONTH, "2025-1~", "2025-1~, which is no month."),
        (Unit.DAY, "2025-01-05", "2025-01-05, when nothing was attempted."),
    ],
)
def test_a_tally_of_what_is_no_day_or_month_is_named(attempts, adam, unit, period, problem):
    tally_all()
    assert [*tallies.problems()] == []
    values = {"outcome": "accepted", "user_id": "o", "action_code": 2, "cluster_url": "x", "source": "form"}
    Tally.objects.create(unit=unit, period=period, **values, attempts=1000, customers=1000)
    assert [*tallies.problems()] == [f"There is a tally of {problem}"]
    Tally.objects.filter(period=period).delete()
    TalliedPeriod.objects.create(unit=unit, period=period, last_key=0, in_doubt=0)
    assert [*tallies.problems()] in ([f"There is a tally of {problem}"], [])
    assert signed_in(adam).get("/admin/jobs/job/?time=all").status_code == 200


def test_an_outcome_that_nobody_knows_breaks_no_page(attempts, adam):
    tally_all()
    Tally.objects.filter(unit=Unit.MONTH, period="2025-01", outcome=Outcome.REJECTED).update(outcome="nonsense")
    assert signed_in(adam).get("/admin/jobs/job/?time=all").status_code == 200
    assert [*tallies.problems()] == ["The tally of 2025-01 is not what its attempts amount to."]


def test_a_day_that_was_tallied_while_the_clock_was_ahead_is_forgotten_when_an_outcome_changes(monkeypatch):
    attempt, ahead = make_attempt(Kind.UNKNOWN, Kind.NOT_APPLIED), timezone.now() + timedelta(days=40)
    with monkeypatch.context() as patch:
        patch.setattr(timezone, "now", lambda: ahead)
        for unit in Unit:
            tallied_spans(unit, BEGINNING, ahead)
    assert TalliedPeriod.objects.count() == 3
    record(attempt, Kind.ACCEPTED)
    assert not TalliedPeriod.objects.exists()
