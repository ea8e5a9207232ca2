"""The watchdog of `serve`, with a real server and workers that are really frozen, stuck or only busy."""

import os
import signal
import sqlite3
import threading
import time
from contextlib import closing, contextmanager

import pytest
import requests

from setactions.operations.tests.test_serve import alive, serving, worker_of
from tmsdash.tests.fixtures import PASSWORD
from tmsdash.tests.tools import run_python, until

pytestmark = [pytest.mark.sqlite, pytest.mark.linux]

# The site with addresses at which a worker freezes: one keeps the interpreter for itself, one a thread for ever, and
# one a thread until a file is there.
SITE = """
import ctypes, threading, time
from pathlib import Path
from tmsdash.settings import *
ROOT_URLCONF = __name__

def keep_the_interpreter(request):
    ctypes.PyDLL(None).sleep(3600)

def keep_a_thread(request):
    threading.Event().wait()

def wait_for_a_file(request):
    from django.http import HttpResponse
    while not (VAR_DIR / "go on").exists():
        time.sleep(0.05)
    return HttpResponse("went on")

def __getattr__(name):
    if name != "urlpatterns":
        raise AttributeError(name)
    from django.contrib.auth.decorators import login_not_required
    from django.urls import path
    from tmsdash.urls import urlpatterns
    views = keep_the_interpreter, keep_a_thread, wait_for_a_file
    return [path(view.__name__, login_not_required(view)) for view in views] + urlpatterns
"""
IMPATIENT = """
import django
django.setup()
from setactions.management.commands import serve
from tmsdash.server import watchdog
watchdog.LOOK_EVERY_S = watchdog.TELL_EVERY_S = 0.5
watchdog.FROZEN_S = 4
watchdog.DUMP_S = 1
serve.GRACE_AFTER_DEADLINE_S = 1
"""


@contextmanager
def watched(tmp_path, **environment):
    """A server with a watchdog of little patience; yields its process, its health, and what reads its log."""
    with serving(tmp_path, program=IMPATIENT, site=SITE, **environment) as (process, healthy):
        yield process, healthy, (tmp_path / "log").read_text


def ask_in_thread(url, method="get", session=requests, **arguments):
    """Ask without waiting for an answer, which may never come."""

    def ask():
        try:
            getattr(session, method)(url, timeout=120, **arguments)
        except requests.RequestException:
            return  # the worker was killed

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def assert_replaced(process, healthy, worker):
    until(lambda: not alive(worker))
    until(healthy)
    assert worker_of(process)[1] != worker


def test_a_frozen_worker_is_replaced_and_the_log_says_where_it_hung(tmp_path):
    with watched(tmp_path, TMS_DEADLINE_S="600") as (process, healthy, log):
        _, worker = worker_of(process)
        asking = ask_in_thread(f"{process.url}/keep_the_interpreter")
        assert_replaced(process, healthy, worker)
        asking.join(60)
        assert f"(process {worker}) has been frozen" in log()
        assert "in keep_the_interpreter" in log()
        _, worker = worker_of(process)
        os.kill(worker, signal.SIGSTOP)
        assert_replaced(process, healthy, worker)
        assert f"(process {worker}) has been frozen" in log()


def test_a_worker_with_no_thread_left_is_replaced_only_once_none_of_them_gets_on(tmp_path):
    with watched(tmp_path, WEB_THREADS="2", TMS_DEADLINE_S="3") as (process, healthy, log):
        _, worker = worker_of(process)
        asking = [ask_in_thread(f"{process.url}/wait_for_a_file") for _ in range(2)]
        until(lambda: log().count("it is busy, requests=2") > 1)
        (tmp_path / "go on").touch()
        for thread in asking:
            thread.join(60)
        until(healthy)
        assert worker_of(process)[1] == worker
        assert "CRITICAL" not in log()

        asking = [ask_in_thread(f"{process.url}/keep_a_thread") for _ in range(2)]
        assert_replaced(process, healthy, worker)
        for thread in asking:
            thread.join(60)
        assert f"(process {worker}) has not got on with any request" in log()
        assert "in keep_a_thread" in log()


def test_a_worker_that_says_that_a_database_is_away_is_left_alone(tmp_path):
    with watched(tmp_path) as (process, healthy, log):
        _, worker = worker_of(process)
        for file in tmp_path.glob("jobs.db*"):
            file.unlink()
        until(lambda: not healthy() and log().count("[HEALTH] database jobs") > 4)
        assert requests.get(f"{process.url}/health", timeout=60).status_code == 503
        assert worker_of(process)[1] == worker


def test_a_frozen_worker_with_a_call_in_flight_has_as_long_as_a_call_may_take(tmp_path, running_simulator):
    running_simulator.reset()
    with watched(tmp_path, TMS_DEADLINE_S="5", TMS_CLUSTERS=f"evian3={running_simulator.url}") as (
        process,
        healthy,
        log,
    ):
        session = signed_in(process.url, tmp_path)
        _, worker = worker_of(process)
        call = {
            "url": f"{running_simulator.url}/tms/v1/set/action",
            "token": "fault:timeout-applied",
            "isPost": True,
            "postData": {"action": "PE-Enable", "cids": ["a"]},
        }
        headers = {"X-CSRFToken": session.cookies["csrftoken"]}
        calling = ask_in_thread(f"{process.url}/proxy_fetch", "post", session, json=call, headers=headers)
        until(running_simulator.calls)
        os.kill(worker, signal.SIGSTOP)
        stopped = time.monotonic()
        assert_replaced(process, healthy, worker)
        assert time.monotonic() - stopped > 5
        calling.join(60)
        assert "calls=1" in log()
    with closing(sqlite3.connect(tmp_path / "audit.db")) as audit:
        assert audit.execute("SELECT outcome, is_open FROM audit_attempt").fetchall() == [("pending", 1)]


def signed_in(url, var_dir):
    """A session of an operator, whose account is made."""
    program = (
        "import django; django.setup(); from django.contrib.auth.models import Group, User\n"
        f"Group.objects.get(name='Operators').user_set.add(User.objects.create_user('olivia', password={PASSWORD!r}))"
    )
    made = run_python("-c", program, var_dir=var_dir, DJANGO_SETTINGS_MODULE="tmsdash.settings")
    assert made.returncode == 0, made.stderr
    session = requests.Session()
    session.get(f"{url}/login/", timeout=60)
    form = {"username": "olivia", "password": PASSWORD, "csrfmiddlewaretoken": session.cookies["csrftoken"]}
    assert session.post(f"{url}/login/", data=form, timeout=60).ok
    return session
