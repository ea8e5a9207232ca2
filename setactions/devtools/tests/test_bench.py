"""The benchmarks run and report; how fast they are is for people to read, not for a test."""

import re
from contextlib import suppress

import pytest
from django.core.management import CommandError, call_command

from setactions.devtools.benchmarks import BENCHMARKS

LINE = r"{name}: .+: [0-9.]+ ms; .+: [0-9.]+ ms; ratio [0-9.]+ \(limit [0-9.]+\); \d+ cores, Python .+, SQLite .+"


@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_a_benchmark_reports_both_times_their_ratio_and_the_machine(name, capfd):
    with suppress(CommandError):  # that it is slower than its limit, as it may be beside other tests
        call_command("bench", name, rounds=1, scale=0.02)
    printed, errors = capfd.readouterr()
    assert re.search(LINE.format(name=name), printed)
    assert "Traceback" not in errors


def test_an_unknown_benchmark_is_refused():
    with pytest.raises(CommandError, match="invalid choice"):
        call_command("bench", "nothing")
