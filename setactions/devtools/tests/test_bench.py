"""The benchmarks run and report; how fast they are is for people to read, not for a test."""

import os
import re
import subprocess
import sys
import uuid
from contextlib import suppress
from types import SimpleNamespace

import psycopg
import pytest
from django.core.management import CommandError, call_command

from setactions.devtools.benchmarks import BENCHMARKS, ON_POSTGRESQL, measurement
from setactions.devtools.benchmarks.measurement import MS, PER_S, Comparison, compare
from setactions.devtools.benchmarks.operators import has_all_jobs
from setactions.devtools.benchmarks.page import BEGIN, END
from setactions.devtools.benchmarks.servers import cpu_s, settled_cpu_s
from setactions.devtools.proofs import site
from setactions.devtools.proofs.site import Site
from setactions.devtools.tests import sites

LINE = (
    r"{name}: .+: [0-9.]+ (ms|a second|MB); .+: [0-9.]+ (ms|a second|MB); ratio [0-9.]+ \([0-9.]+ to [0-9.]+.*\).*; "
    r"\d+ cores, Python .+, SQLite .+"
)
# A process whose child uses a tenth of a second of CPU and ends; then it says so and stays.
WITH_ENDED_CHILD = """
import os, subprocess, sys
burn = "import time\\nwhile time.process_time() < 0.1: pass"
subprocess.run([sys.executable, "-c", burn], check=True)
used = os.times()
print(used.children_user + used.children_system, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def one_worker(monkeypatch):
    """Servers that start quickly, on both sides: how fast they are then is nothing that the tests look at."""
    monkeypatch.setenv("WEB_WORKERS", "1")


@pytest.mark.sqlite  # they run on databases of their own
@pytest.mark.linux
def test_each_benchmark_reports_both_sides_their_ratio_and_the_machine_and_writes_the_page(one_worker, capfd, tmp_path):
    page = tmp_path / "speed.md"
    page.write_text(f"Before.\n{BEGIN}\nof last time\n{END}\nAfter.\n")
    for name, written in (("all", page), ("years", None), ("metrics", None)):
        with suppress(CommandError):  # that one is slower than its limit, as it may be beside other tests
            call_command("bench", name, rounds=1, scale=0.01, write=written)
    printed, errors = capfd.readouterr()
    assert "Traceback" not in errors
    assert "NO JOB" not in printed
    silent = [
        name
        for name in BENCHMARKS
        if not re.search(LINE.format(name=name), printed) and name not in ("profile", "queue")
    ]
    assert silent == []
    assert re.search(r"profile: +[0-9.]+% +[0-9.]+ ms  Django's ORM", printed)
    text = page.read_text()
    assert text.startswith(f"Before.\n{BEGIN}\n\nMeasured on ")
    assert text.endswith(f"\n{END}\nAfter.\n")
    assert "of last time" not in text
    assert [name for name in BENCHMARKS if f"| `{name}` |" not in text] == ["profile", "years", "queue", "metrics"]
    chart = (tmp_path / "speed.svg").read_text()
    assert chart.count("<rect") == 1 + 2 * text.count("| call, then record |")


@pytest.mark.sqlite
@getattr(pytest.mark, "redis-server")
def test_the_benchmark_of_the_queue_reports_both_engines(one_worker, monkeypatch, capfd, tmp_path):
    monkeypatch.setattr(Site, "set_up", sites.copied)  # what the command adds to it is tested with all others
    monkeypatch.setitem(BENCHMARKS["queue"].__globals__, "settings", SimpleNamespace(VAR_DIR=tmp_path))
    monkeypatch.setattr(measurement, "rounds", 1)
    monkeypatch.setattr(measurement, "scale", 0.1)
    BENCHMARKS["queue"]()  # beside other tests it may be slower than its limit
    assert re.search(LINE.format(name="queue"), capfd.readouterr().out)


def test_a_page_without_markers_is_left_as_it_is(tmp_path):
    page = tmp_path / "speed.md"
    page.write_text("Prose.\n")
    with pytest.raises(CommandError, match="Add them where the table belongs"):
        call_command("bench", "all", write=page)
    assert page.read_text() == "Prose.\n"


def test_an_unknown_benchmark_is_refused():
    with pytest.raises(CommandError, match="invalid choice"):
        call_command("bench", "nothing")


def test_a_benchmark_whose_floor_is_sqlite_is_refused_on_postgresql():
    with pytest.raises(CommandError, match=", ".join(ON_POSTGRESQL)):
        call_command("bench", "serve", postgresql=True)


@pytest.mark.postgresql
def test_a_benchmark_on_postgresql_leaves_no_database_behind(monkeypatch, capfd):
    server = os.environ["TEST_POSTGRES_URL"]
    monkeypatch.setenv("BENCH_POSTGRES_URL", server)
    call_command("bench", "profile", scale=0.01, postgresql=True)
    assert "ms  Django's ORM" in capfd.readouterr().out
    with psycopg.connect(f"{server}/postgres") as session:
        assert session.execute("SELECT datname FROM pg_database WHERE datname LIKE 'bench%'").fetchall() == []


@pytest.mark.parametrize(
    ("unit", "limit", "bound", "keeps"),
    [
        (MS, None, None, True),
        (MS, 2.0, None, True),
        (MS, 1.9, None, False),
        (MS, 2.0, 8.0, True),
        (MS, 2.0, 7.9, False),
        (PER_S, 2.0, None, True),
        (PER_S, 2.1, None, False),
        (PER_S, None, 8.0, True),
        (PER_S, None, 8.1, False),
    ],
)
def test_of_times_less_is_better_and_of_rates_more(unit, limit, bound, keeps, capsys):
    comparison = Comparison([6.0, 8.0, 9.0], [4.0, 4.0, 4.0], unit)
    assert comparison.report("name", "what", "floor", limit, bound=bound) is keeps
    assert ("BEYOND ITS LIMIT" in capsys.readouterr().out) is not keeps


def test_what_a_first_run_loads_is_not_counted(monkeypatch):
    monkeypatch.setattr(measurement, "rounds", 2)
    clock = iter(range(100))
    monkeypatch.setattr(measurement.time, "perf_counter", lambda: next(clock))
    loading = iter([50, 0, 0])

    def ours():
        for _ in range(next(loading)):
            next(clock)

    assert compare(ours, lambda: None, warm_up=True) == Comparison([1000, 1000], [1000, 1000])


@pytest.mark.linux
def test_the_cpu_of_a_process_includes_its_children_that_ended():
    command = [sys.executable, "-c", WITH_ENDED_CHILD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        children_s = float(process.stdout.readline())  # in ticks, as the system counts them
        assert settled_cpu_s(process.pid) >= cpu_s(process.pid) >= children_s > 0


@pytest.mark.usefixtures("databases")
def test_an_accepted_action_without_a_job_and_a_job_too_many_are_noticed(monkeypatch, capsys):
    monkeypatch.setattr(site, "START_S", 0)
    assert has_all_jobs([], 0)
    assert not has_all_jobs([str(uuid.uuid4())], 0)
    assert "1 accepted actions have NO JOB" in capsys.readouterr().out
    assert not has_all_jobs([], 1)
