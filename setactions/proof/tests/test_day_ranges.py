"""Whoever changes the ranges of days of jobs, to hide some from the admin's list, is found out."""

import json

import pytest
from django.core.management import CommandError, call_command

from audit.tests.sealing import run
from jobs.models import JobDay
from jobs.tests.making import make_job
from tmsdash.db import day_ranges

pytestmark = pytest.mark.usefixtures("databases", "empty_seal_dir")


def found():
    _, printed = run("audit_verify", "--jobs", "--json")
    return [line["problem"] for line in json.loads(printed)["findings"] if line["where"] == "days of jobs"]


def test_jobs_that_a_range_leaves_out_are_found_and_listed_again(monkeypatch):
    monkeypatch.setattr(day_ranges, "LAG", 0)
    first, second = make_job().pk, make_job().pk
    call_command("rebuild_lists")
    day = JobDay.objects.get()
    assert (day.first, day.last) == (first, second)
    assert found() == []
    JobDay.objects.update(first=second)
    assert found() == [
        f"The range of {day.day}, {second:,} to {second:,}, leaves out rows of {first:,} to {second:,}. "
        "Run manage.py rebuild_lists."
    ]
    call_command("rebuild_lists")
    assert found() == []


def test_lists_are_not_rebuilt_without_a_database(monkeypatch):
    def fail(*args):
        raise day_ranges.AnyDatabaseError("locked")

    monkeypatch.setattr(day_ranges, "extend", fail)
    with pytest.raises(CommandError, match="A database cannot be used; run it again later. locked"):
        call_command("rebuild_lists")
