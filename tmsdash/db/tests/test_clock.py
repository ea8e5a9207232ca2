"""What time it is for several hosts whose clocks differ: PostgreSQL's clock counts, and a SQLite file has one host."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.db import connections
from django.utils import timezone

from audit.models import Attempt
from audit.tests.making import make_attempt
from jobs import leases
from jobs.batches import ledger
from jobs.batches.overlap import batches_sharing
from jobs.models import Batch, Job
from jobs.tests.making import CLUSTER, make_batch
from setactions.overlap import window_start
from tmsdash.db import clock

pytestmark = pytest.mark.usefixtures("databases")
AHEAD = timedelta(minutes=5)
MOMENT = timedelta(seconds=2)


@pytest.fixture
def set_clock(monkeypatch):
    """Set this host's clock ahead of the true time, as that of another host may be."""
    true, host = timezone.now, clock._host_time

    def set_to(ahead):
        monkeypatch.setattr(timezone, "now", lambda: true() + ahead)
        monkeypatch.setattr(clock, "_host_time", lambda: host() + ahead)

    yield set_to
    clock._offsets.clear()


@pytest.mark.sqlite
def test_a_file_of_sqlite_goes_by_the_clock_of_its_host(set_clock):
    set_clock(AHEAD)
    assert timezone.now() - MOMENT < clock.now("jobs") <= timezone.now()


@pytest.mark.postgresql
@pytest.mark.parametrize("ahead", [AHEAD, -AHEAD])
def test_a_clock_that_is_set_while_the_process_runs_changes_nothing(ahead, set_clock):
    before = clock.now("jobs")
    set_clock(ahead)
    assert before <= clock.now("jobs") < before + MOMENT


@pytest.mark.sqlite
def test_a_process_that_freezes_while_it_compares_the_clocks_is_not_behind_for_it(monkeypatch):
    seconds, frozen_for = [0.0], [60.0, 60.0]

    def moment():
        return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds[0])

    def host_time_after_a_freeze():
        seconds[0] += frozen_for.pop() if frozen_for else 0
        return moment()

    class Cursor:
        def __enter__(self):
            return self

        def __exit__(self, *failure):
            pass

        def execute(self, statement):
            self.told = moment()

        def fetchone(self):
            return [self.told]

    monkeypatch.setattr(clock, "connections", {"jobs": SimpleNamespace(vendor="postgresql", cursor=Cursor)})
    monkeypatch.setattr(clock, "_host_time", host_time_after_a_freeze)
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    monkeypatch.setattr(timezone, "now", moment)
    monkeypatch.setattr(clock, "_offsets", {})
    assert clock.now("jobs") == moment()
    assert not frozen_for


@pytest.mark.postgresql
def test_the_database_is_not_asked_each_time(django_assert_num_queries):
    clock.now("jobs")
    with django_assert_num_queries(0, connection=connections["jobs"]):
        clock.now("jobs")


@pytest.mark.postgresql
def test_a_host_whose_clock_is_ahead_takes_no_lease_that_another_one_holds(set_clock):
    batch = make_batch(cids=["a", "b"])
    assert ledger.lease(batch, "other", 60)
    set_clock(AHEAD)
    assert not ledger.lease(batch, "me", 60)
    assert Batch.objects.get().has_runner
    assert [*batches_sharing(CLUSTER, batch.action_code, ["a"])] == [batch]


@pytest.mark.postgresql
def test_a_host_whose_clock_is_behind_extends_the_lease_all_the_same(set_clock):
    set_clock(-AHEAD)
    batch = make_batch(cids=["a"])
    assert ledger.lease(batch, "me", 60)
    assert leases.heartbeat(batch, "me", 60)
    set_clock(timedelta())
    assert Batch.objects.get().has_runner
    assert not ledger.lease(batch, "other", 60)


@pytest.mark.postgresql
def test_a_host_whose_clock_is_ahead_judges_no_attempt_too_early(set_clock, settings):
    settings.TMS_OPEN_AFTER_S = 90
    attempt = make_attempt(cids=["a"])
    set_clock(AHEAD)
    assert attempt.is_young
    assert attempt.is_running


@pytest.mark.postgresql
def test_times_of_the_audit_are_by_one_clock_whichever_host_writes_them(set_clock):
    first = make_attempt(cids=["a"])
    set_clock(-AHEAD)
    second = make_attempt(cids=["b"])
    assert first.created_at < second.created_at < first.created_at + 10 * MOMENT


@pytest.mark.postgresql
def test_a_job_of_a_host_whose_clock_is_ahead_lies_between_the_events_of_its_attempt(carry_out, set_clock):
    set_clock(AHEAD)
    attempt_id = carry_out().attempt_id
    job, attempt = Job.objects.get(), Attempt.objects.get(attempt_id=attempt_id)
    assert attempt.created_at <= job.created_at < attempt.created_at + 10 * MOMENT


def test_a_batch_that_was_made_by_a_clock_slightly_ahead_is_compared_with_the_usual_time(settings):
    settings.TMS_DUPLICATE_WINDOW_S = 600
    start = window_start(clock.now("jobs") + timedelta(seconds=30))
    assert start > clock.now("audit") - timedelta(seconds=600) - MOMENT
