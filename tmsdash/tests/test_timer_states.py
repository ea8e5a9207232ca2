"""What runs of timers leave behind, and when one is late."""

import logging
from contextlib import suppress
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, connections
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tmsdash import banners, site_keys, timers
from tmsdash.commands import TimerCommand
from tmsdash.models import TimerRun
from tmsdash.processes import INTERRUPTED
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import table_missing, text_of

pytestmark = pytest.mark.usefixtures("databases")


@pytest.fixture(autouse=True)
def recorded_as_before(databases):
    """Since when runs have been recorded is the same after each test: no snapshot has it on PostgreSQL."""
    [migration] = migration_of_the_table()
    yield
    migration.save()


def migration_of_the_table():
    app, name = timers.RECORDED_SINCE
    return MigrationRecorder.Migration.objects.filter(app=app, name=name)


def ran(name, *, ago_s, succeeded=True):
    """A timer's last run ended some seconds ago; if it failed, it succeeded an hour before."""
    at = timezone.now() - timedelta(seconds=ago_s)
    TimerRun.objects.create(
        name=name, ended_at=at, succeeded=succeeded, succeeded_at=at if succeeded else at - timedelta(hours=1)
    )


def recorded_for(seconds):
    """Runs have been recorded for so long."""
    assert migration_of_the_table().update(applied=timezone.now() - timedelta(seconds=seconds)) == 1


def run(name, end):
    """Run a command that ends in some way; return whether that is recorded as a success, or None if it is not."""

    class Ending(TimerCommand):
        timer, done_codes, needed_keys = name, (0, 2), ()

        def handle(self, *args, **options):
            if end:
                raise end

    with suppress(SystemExit, CommandError, DatabaseError, KeyboardInterrupt):
        Ending().execute(no_color=True, force_color=False, skip_checks=True, verbosity=0)
    return TimerRun.objects.values_list("succeeded", flat=True).first()


def late():
    return {state.name for state in timers.states() if state.is_late}


def test_each_command_leaves_how_it_ended_and_a_failure_keeps_the_last_success(tmp_path):
    call_command("reconcile")
    call_command("backup", tmp_path / "backups", verbosity=0)
    call_command("audit_seal")
    call_command("audit_verify", verbosity=0)
    before = {run.name: run for run in TimerRun.objects.all()}
    assert set(before) == set(timers.NAMES)
    assert all(run.succeeded and run.succeeded_at == run.ended_at for run in before.values())
    with pytest.raises(CommandError):
        call_command("audit_verify", anchor=["no anchor"])
    after = TimerRun.objects.get(name="verify")
    assert (after.succeeded, after.succeeded_at) == (False, before["verify"].succeeded_at)
    assert after.ended_at > before["verify"].ended_at
    [state] = timers.needing_attention()
    assert state.in_words.startswith("verify failed at ")
    assert "manage.py audit_verify --jobs" in state.in_words
    assert "tms-dashboard-verify.timer" in state.in_words


@pytest.mark.parametrize(
    ("end", "succeeded"),
    [
        (None, True),
        (SystemExit(2), True),  # done, and somebody has to look
        (SystemExit(3), False),
        (CommandError("no", returncode=3), False),
        (DatabaseError("gone"), False),
        (CommandError("stopped", returncode=INTERRUPTED), None),  # says nothing about the timer
        (KeyboardInterrupt(), None),
    ],
)
def test_what_a_run_was_is_told_by_how_it_ended(end, succeeded):
    assert run(timers.SEAL, end) == succeeded


def test_a_command_that_is_no_timer_or_has_another_sites_keys_records_nothing(settings):
    assert run("", None) is None
    site_keys.remember()
    settings.SECRET_KEY = "k" * 60
    with pytest.raises(CommandError, match="SECRET_KEY is not this site's"):
        call_command("reconcile")
    assert not TimerRun.objects.exists()


def test_a_run_that_says_the_same_again_within_a_minute_writes_nothing(django_assert_num_queries):
    timers.record("reconcile", True)
    with django_assert_num_queries(1):
        timers.record("reconcile", True)
    timers.record("reconcile", False)  # that is news
    assert not TimerRun.objects.get().succeeded


@pytest.mark.pages
def test_a_run_counts_as_what_it_was_even_if_that_cannot_be_recorded(caplog):
    with table_missing("default", "tmsdash_timerrun"):
        call_command("reconcile")
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    [line] = lines
    assert line.startswith("[TIMER] reconcile succeeded, which could not be recorded: ")


def test_a_timer_is_late_after_twice_its_interval(settings):
    settings.TIMER_INTERVALS = dict.fromkeys(timers.NAMES, 1000)
    ran("reconcile", ago_s=1990)
    ran("backup", ago_s=2010)
    ran("seal", ago_s=10, succeeded=False)
    assert late() == {"backup", "seal"}
    ran("verify", ago_s=2010)
    settings.TIMER_INTERVALS["verify"] = 0  # nobody expects it
    settings.TIMER_INTERVALS["backup"] = 100_000
    assert late() == {"seal"}
    assert [state.name for state in timers.needing_attention()] == ["seal"]


def test_a_success_that_is_yet_to_come_hides_no_timer_that_is_dead(settings):
    settings.TIMER_INTERVALS = dict.fromkeys(timers.NAMES, 0) | {"seal": 1000, "backup": 1000}
    ran("seal", ago_s=-1990)  # another host's clock
    ran("backup", ago_s=-86_400)
    assert late() == {"backup"}
    assert "which is yet to come: a clock was wrong, or is. Run " in timers.states()[1].in_words


def test_a_short_interval_leaves_some_minutes(settings):
    settings.TIMER_INTERVALS = dict.fromkeys(timers.NAMES, 0) | {"seal": 10, "backup": 10}
    ran("seal", ago_s=300)
    ran("backup", ago_s=320)
    assert late() == {"backup"}


def test_one_that_never_ran_is_late_once_it_should_have_run_twice(settings):
    settings.TIMER_INTERVALS = dict.fromkeys(timers.NAMES, 1000)
    recorded_for(1990)
    assert late() == set()
    assert {state.age_s for state in timers.states()} == {None}
    recorded_for(2010)
    assert late() == set(timers.NAMES)
    assert "backup has never succeeded since 20" in timers.states()[1].in_words
    settings.TMS_PASSIVE = True  # a stand-by reconciles nothing
    assert late() == {"backup", "seal", "verify"}


@pytest.mark.pages
def test_staff_see_on_every_page_which_timers_are_late_or_failed_and_nobody_else_does(settings, adam, olivia):
    settings.TIMER_INTERVALS = dict.fromkeys(timers.NAMES, 5000)
    ran("backup", ago_s=90_000)
    ran("verify", ago_s=10, succeeded=False)
    ran("seal", ago_s=10)
    banners.forget()
    with table_missing("default", "tmsdash_timerrun"):
        assert signed_in(adam).get("/jobs/").status_code == 200
    banners.forget()
    for path in ("/", "/jobs/", "/admin/", "/help/"):
        page = text_of(signed_in(adam).get(path))
        assert "Late: backup has not succeeded since 20" in page
        assert "Run manage.py backup FOLDER, and look at tms-dashboard-backup.timer." in page
        assert "Failed: verify failed at 20" in page
        assert "seal has" not in page
    for client in (signed_in(olivia), Client()):
        assert "timer" not in text_of(client.get("/help/" if client.cookies else "/login/"))


@pytest.mark.pages
def test_a_page_asks_for_timers_once_in_a_while(adam):
    client = signed_in(adam)
    banners.forget()
    asked = []
    for _ in range(2):
        with CaptureQueriesContext(connections["default"]) as captured:
            client.get("/jobs/")
        asked.append(sum("tmsdash_timerrun" in query["sql"] for query in captured))
    assert asked == [1, 0]
