"""The benchmarks run and report; how fast they are is for people to read, not for a test."""

import re
import subprocess
import sys

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from setactions.devtools.benchmarks.set_actions import BENCHMARKS

LINE = r"{name}: .+: [0-9.]+ ms; .+: [0-9.]+ ms; ratio [0-9.]+ \(limit [0-9.]+\); \d+ cores, Python .+, SQLite .+"


@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_a_benchmark_reports_both_times_their_ratio_and_the_machine(name):
    command = [sys.executable, "manage.py", "bench", name, "--rounds", "1", "--scale", "0.02"]
    ended = subprocess.run(command, cwd=settings.BASE_DIR, capture_output=True, text=True, check=False)
    assert re.search(LINE.format(name=name), ended.stdout)
    assert "Traceback" not in ended.stderr


def test_an_unknown_benchmark_is_refused():
    with pytest.raises(CommandError, match="invalid choice"):
        call_command("bench", "nothing")
