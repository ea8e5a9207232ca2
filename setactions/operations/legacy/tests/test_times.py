"""The old dashboard's code, run in several time zones: each imported time is the instant at which it was written."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from audit.models import Attempt, AttemptCustomer, AuditEntry
from audit.proof.verification import verify
from jobs.models import Job
from setactions.operations.legacy.tests import old_code

pytestmark = [pytest.mark.usefixtures("databases", "tms"), pytest.mark.pages]

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]
INSTANTS = [
    "2025-01-15 12:00",
    # Berlin's clocks are put forward at 01:00 UTC, and back at 01:00 UTC.
    *("2025-03-30 00:59", "2025-03-30 01:00", "2025-07-01 22:30"),
    *("2025-10-26 00:10", "2025-10-26 00:50", "2025-10-26 01:05", "2025-10-26 01:55", "2025-10-26 02:00"),
    *("2025-11-02 05:30", "2025-11-02 06:30"),  # New York's back
    *("2026-04-04 14:40", "2026-04-04 15:10"),  # Lord Howe's back, by half an hour
]


def seconds(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def run_old_code(folder, zone, actions):
    """Let the old code write what it did; each action is a customer of its own."""
    folder.mkdir(exist_ok=True)
    defaults = {"user": "olivia", "style": "iso"}
    given = json.dumps([defaults | {"cids": [f"c{number}"]} | action for number, action in enumerate(actions)])
    command = [sys.executable, old_code.__file__, str(folder)]
    subprocess.run(command, input=given, text=True, check=True, env=os.environ | {"TZ": zone}, timeout=60)


@pytest.fixture
def written(old, tmp_path):
    """The old dashboard, whose files the old code writes."""

    def write(zone, actions):
        folder = tmp_path / "written"
        run_old_code(folder, zone, actions)
        old.jobs, old.audit = folder / "jobs.db", folder / "audit.db"
        return old

    return write


def times_of_jobs():
    return {job.customers.get().cid: job.created_at for job in Job.objects.order_by("pk")}


@pytest.mark.parametrize("zone", ZONES)
def test_jobs_and_log_are_imported_at_the_instants_at_which_they_were_written(written, zone):
    styles = [*old_code.STYLES] * len(INSTANTS)
    actions = [{"at": seconds(at), "style": style} for at, style in zip(INSTANTS, styles, strict=False)]
    printed, _ = written(zone, actions).run(zone=zone)
    for number, (at, job_at) in enumerate(zip(INSTANTS, times_of_jobs().values(), strict=True)):
        written_at = datetime.fromisoformat(at).replace(tzinfo=UTC)
        assert written_at <= job_at <= written_at + timedelta(seconds=1), (number, at, job_at)
    assert f"Linked to its job: {len(INSTANTS)}" in printed
    for row in Attempt.objects.filter(source="legacy_log"):
        body = json.loads(AuditEntry.objects.get(attempt_id=row.attempt_id).body)
        job = Job.objects.get(job_id=body["job_id"])
        assert abs(job.created_at - row.created_at) <= timedelta(seconds=1)
        assert job.customers.get().cid == AttemptCustomer.objects.get(attempt=row).cid
    assert verify().findings == []


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/New_York"])
def test_what_the_old_code_writes_now_was_written_now(written, zone):
    before = datetime.now(UTC) - timedelta(seconds=1)  # CURRENT_TIMESTAMP knows no fractions
    written(zone, [{"at": None}]).run(zone=zone)
    for attempt in Attempt.objects.all():
        assert before <= attempt.created_at <= datetime.now(UTC)


def test_without_a_log_the_order_of_rows_tells_which_hour_it_was(written):
    instants = INSTANTS[4:9]
    old = written("Europe/Berlin", [{"at": seconds(at), "without_log": True} for at in instants])
    _, [warning] = old.run(zone="Europe/Berlin")
    expected = [datetime.fromisoformat(at).replace(tzinfo=UTC, microsecond=300_000) for at in instants]
    assert list(times_of_jobs().values()) == expected
    assert "4 jobs in an hour that clocks in Europe/Berlin showed twice" in warning
    assert "Placed: 4 by the order of rows, and in the first hour where that says nothing. In the sec" in warning
    assert "In the second hour: 2." in warning
    assert "row 1: 2025-10-26T02:10:00.300000 → 2025-10-26 00:10:00 UTC" in warning


def test_a_single_job_of_the_second_hour_is_placed_by_its_log(written):
    old = written("Europe/Berlin", [{"at": seconds("2025-10-26 01:30")}])
    _, [warning] = old.run(zone="Europe/Berlin")
    assert times_of_jobs()["c0"] == datetime(2025, 10, 26, 1, 30, 0, 300_000, tzinfo=UTC)
    assert "1 job in an hour" in warning
    assert "Placed: 1 by the row of the audit log that belongs to it. In the second hour: 1. The first" in warning


@pytest.mark.parametrize("minutes", [0, 1, 30])
def test_what_a_script_did_every_hour_or_more_often_is_placed_and_linked(written, minutes):
    start = seconds("2025-10-25 23:30")
    step = 3600 - 60 * minutes
    actions = [{"at": start + number * step + number % 2, "cids": ["a1"]} for number in range(6)]
    printed, _ = written("Europe/Berlin", actions).run(zone="Europe/Berlin")
    jobs = [job.created_at.timestamp() for job in Job.objects.order_by("pk")]
    assert jobs == [action["at"] + 0.3 for action in actions]
    assert "Doubled: 0." in printed
    assert "Linked to its job: 6." in printed


def test_rows_a_little_out_of_order_stay_in_their_hour(old):
    for number, at in enumerate(["02:10:30", "02:10:00", "02:50:00", "02:05:00", "02:04:30"]):
        old.job(f"c{number}", created_at=f"2025-10-26T{at}")
    old.run(zone="Europe/Berlin")
    assert [at.hour for at in times_of_jobs().values()] == [0, 0, 0, 1, 1]


def test_times_that_a_clock_never_showed_or_that_are_to_come_are_said(old):
    old.job("a1", created_at="2025-03-30T02:30:00")
    old.job("a2", created_at="2100-01-01T00:00:00")
    old.log(timestamp="2100-01-01 00:00:00")
    _, reported = old.run(zone="Europe/Berlin")
    assert [line.partition(",")[0] for line in reported] == [
        "1 job has a time that clocks in Europe/Berlin skipped when they were put forward",
        "jobs: 1 row in the future",
        "audit_log: 1 row in the future",
    ]
    assert "row 1: 2025-03-30T02:30:00 → 2025-03-30 01:30:00 UTC" in reported[0]


def test_a_wrong_time_zone_shows_in_the_links(written):
    old = written("Asia/Kolkata", [{"at": seconds("2025-06-01 10:00")}])
    printed, [warning] = old.run("--dry-run", zone="Europe/Berlin")
    assert "Jobs with their row of the audit log: 0 of 1." in printed
    assert "Is --time-zone right?" in warning


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("2025-06-01T12:00:00+02:00", "2025-06-01 10:00:00"),
        ("2025-06-01T10:00:00Z", "2025-06-01 10:00:00"),
        (1748772000, "2025-06-01 10:00:00"),
        (1748772000.25, "2025-06-01 10:00:00.250"),
        ("1748772000250", "2025-06-01 10:00:00.250"),
        (b"2025-06-01 15:30:00", "2025-06-01 10:00:00"),
        (" 2025-06-01 15:30:00.5 ", "2025-06-01 10:00:00.500"),
    ],
)
def test_times_of_other_kinds_are_understood(old, value, at):
    old.job("a1", created_at=value)
    assert old.run(zone="Asia/Kolkata")[1] == []
    assert Job.objects.get().created_at == datetime.fromisoformat(at).replace(tzinfo=UTC)


def test_what_was_imported_with_other_times_is_counted_and_stays(old):
    job_id = old.job("a1")
    old.log()
    old.run(zone="UTC")
    before = list(AuditEntry.objects.values())
    printed, [warning] = old.run(zone="Europe/Berlin")
    assert "Rows that were imported earlier with another time than today's import gives: 1." in warning
    assert "0 imported, 1 there already" in printed
    assert list(AuditEntry.objects.values()) == before
    assert Job.objects.get(job_id=job_id).created_at == datetime(2025, 6, 1, 10, tzinfo=UTC)


def test_a_job_that_was_lost_comes_back_with_the_time_that_the_audit_has(old, settings):
    old.job("a1")
    old.job("a1", created_at="2025-06-01T10:00:01")
    old.run(zone="UTC")
    Job.objects.all().delete()
    settings.TMS_CLUSTERS = {"evian3": "https://new.example"}
    old.run("--cluster-map", "https://evian3.example=evian3", "--user-map", "olivia=oscar", zone="Europe/Berlin")
    first, second = Job.objects.order_by("created_at")
    assert (first.created_at.hour, first.user_id, first.cluster_url) == (10, "olivia", "https://evian3.example")
    assert second.doubles == first.job_id
    assert verify().findings == []
