"""The production server as processes: it comes back when one of them dies, and none of them is left over."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from django.conf import settings as django_settings

from setactions.management.commands import serve
from tmsdash.tests.tools import KEYS, free_ports, heeding_signals, install, run_python, signals_of, until

pytestmark = [pytest.mark.sqlite, pytest.mark.linux]


def children(pid):
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it ended before the file was opened, or after
        return False


@contextmanager
def serving(tmp_path, *, program="", site="", preexec_fn=None, **environment):
    """A server of its own; yields its process and a function that tells whether it is healthy.

    `program` is Python that runs before `manage.py` would, in the process above the server; `site` a file of
    settings with which that one and the server run. The server's address is in the process' `url`.
    """
    install(tmp_path)
    [port] = free_ports(1)
    environment |= {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, "VAR_DIR": str(tmp_path)}
    environment = {"WEB_WORKERS": "1", "TMS_TOKEN": "planted"} | environment
    if site:
        (tmp_path / "own_site.py").write_text(site)
        environment |= {"DJANGO_SETTINGS_MODULE": "own_site", "PYTHONPATH": str(tmp_path)}
    manage = ["-c", f"{program}\nimport manage\nmanage.main()"] if program else ["manage.py"]
    command = [sys.executable, *manage, "serve", "--port", str(port)]
    log = (tmp_path / "log").open("w")
    process = subprocess.Popen(
        command, env=environment, cwd=django_settings.BASE_DIR, stdout=log, stderr=log, preexec_fn=preexec_fn
    )
    process.url = f"http://127.0.0.1:{port}"

    def healthy():
        try:
            return requests.get(f"{process.url}/health", timeout=60).ok
        except requests.RequestException:
            return False

    try:
        until(lambda: healthy() or process.poll() is not None)
        assert process.poll() is None, (tmp_path / "log").read_text()
        yield process, healthy
    finally:
        process.kill()
        process.wait()
        log.close()


def worker_of(process):
    [server] = children(process.pid)
    return server, children(server)[-1]


def test_allocators_of_a_worker_keep_no_memory_for_later(tmp_path):
    with serving(tmp_path, MALLOC_ARENA_MAX="3") as (process, _):
        environment = Path(f"/proc/{worker_of(process)[1]}/environ").read_bytes().split(b"\0")
    expected = serve.ALLOCATORS | {"MALLOC_ARENA_MAX": "3"}  # what somebody has set stays
    assert {f"{name}={value}".encode() for name, value in expected.items()} <= set(environment)


def test_it_comes_back_however_fast_its_workers_die_and_reconciles_before(tmp_path):
    with serving(tmp_path) as (process, healthy):
        assert "[RECONCILE]" in (tmp_path / "log").read_text().partition("Started worker")[0]
        first, _ = worker_of(process)
        while worker_of(process)[0] == first:  # granian gives up when workers die in quick succession
            _, worker = worker_of(process)
            os.kill(worker, signal.SIGKILL)
            until(lambda worker=worker: not alive(worker))
            until(healthy)
        assert (tmp_path / "log").read_text().count("[RECONCILE]") == 2


@pytest.mark.parametrize("which", ["all of it but the worker", "the main process"])
def test_no_process_is_left_over_when_those_above_it_are_killed(tmp_path, which):
    with serving(tmp_path, LOG_FORMAT="json") as (process, healthy):
        server, worker = worker_of(process)
        requests.get(f"{process.url}/nothing", timeout=60)
        os.kill(server if which == "the main process" else process.pid, signal.SIGKILL)
        until(lambda: not alive(server) and not alive(worker))
        if which == "the main process":
            until(healthy)
            assert_all_is_json((tmp_path / "log").read_text())


def assert_all_is_json(log):
    """All that was written is: by the server itself, by granian above and in the worker, and by Django."""
    lines = [json.loads(line) for line in log.splitlines()]
    assert {"_granian", "_granian.serve", "django.request", serve.__name__} <= {line["logger"] for line in lines}
    assert {"time", "level", "logger", "message"} == set.intersection(*map(set, lines))


def test_a_worker_whose_main_process_died_while_it_started_ends_too(tmp_path):
    with serving(tmp_path) as (process, healthy):
        server, worker = worker_of(process)
        os.kill(server, signal.SIGKILL)
        until(lambda: not alive(server) and any(server != other for other in children(process.pid)))
        [server] = [other for other in children(process.pid) if other != server]
        until(lambda: len(children(server)) > 0)  # the first is the worker, or its helper
        young = children(server)
        os.kill(server, signal.SIGKILL)
        until(lambda: not any(alive(pid) for pid in (worker, *young)))
        until(healthy)


def test_a_polite_stop_ends_all_of_it_with_0(tmp_path):
    with serving(tmp_path) as (process, _):
        server, worker = worker_of(process)
        process.terminate()
        assert process.wait(60) == 0
        assert not alive(server)
        assert not alive(worker)


def test_under_nohup_no_process_of_it_ends_with_the_terminal(tmp_path):
    ignored = {signal.SIGHUP, signal.SIGINT}
    with serving(tmp_path, preexec_fn=lambda: heeding_signals(*ignored)) as (process, healthy):
        processes = worker_of(process)
        assert ignored <= signals_of(process.pid, "SigIgn")
        assert all(ignored <= signals_of(pid, "SigBlk") for pid in processes)  # granian has handlers of its own
        for number in ignored:
            for pid in (process.pid, *processes):
                os.kill(pid, number)
        assert healthy()
        assert worker_of(process) == processes
        process.terminate()
        assert process.wait(60) == 0


STOPPED_AT_ONCE = """
import os, signal
real = signal.signal
def stopped(number, handler):
    before = real(number, handler)
    if getattr(handler, "__module__", "").endswith("commands.serve"):
        os.kill(os.getpid(), number)
    return before
signal.signal = stopped
import manage
manage.main()
"""


def test_a_stop_that_comes_while_it_prepares_for_one_is_not_lost(tmp_path):
    install(tmp_path)
    [port] = free_ports(1)
    ended = run_python("-c", STOPPED_AT_ONCE, "serve", "--port", str(port), var_dir=tmp_path)
    # Whether it noticed before or after it started the server, which may not have got as far as ending in order.
    assert ended.returncode in (0, 128 + signal.SIGTERM), ended.stderr


def test_the_servers_processes_do_not_hold_a_token_of_the_environment(tmp_path):
    with serving(tmp_path) as (process, _):
        for pid in (process.pid, *worker_of(process)):
            assert b"planted" not in Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.parametrize("https_only", ["true", "false"])
@pytest.mark.parametrize(("host", "is_open"), [("::", True), ("127.0.0.1", False), ("localhost", False)])
def test_it_says_so_when_it_listens_for_others_in_plain_http(tmp_path, host, is_open, https_only):
    # No port at all: it says so, and ends.
    environment = KEYS | {"HTTPS_ONLY": https_only}
    ended = run_python("manage.py", "serve", "--host", host, "--port", "0", var_dir=tmp_path, **environment)
    assert (f"Listening on {host} in plain HTTP: let only the HTTPS proxy" in ended.stderr) is (
        is_open and https_only == "true"
    )
    assert "Cannot listen" in ended.stderr
