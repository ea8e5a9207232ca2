"""Several workers of one server: each lives on its own, and what is promised holds for all of them together."""

import os
import signal

import pytest
import requests
from django.conf import settings

from audit.accounts import throttling
from setactions.operations.tests.test_serve import alive, children, serving
from tmsdash.db import locks
from tmsdash.passwords import hashing
from tmsdash.processes import cores
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import locked, until

pytestmark = [pytest.mark.sqlite, pytest.mark.linux]

TABLES = {"default": "auth_group", "jobs": "jobs_job", "audit": "audit_attempt"}


def workers_of(process):
    """The workers, by the main processes above them."""
    return {server: children(server)[-1] for server in children(process.pid) if children(server)}


def test_a_worker_that_is_killed_leaves_the_others_alone_and_all_that_are_killed_come_back(tmp_path):
    with serving(tmp_path, WEB_WORKERS="2") as (process, healthy):
        until(lambda: len(workers_of(process)) == 2)
        (_, killed), (server, other) = workers_of(process).items()
        os.kill(killed, signal.SIGKILL)
        until(lambda: not alive(killed))
        for _ in range(5):
            assert requests.get(f"{process.url}/health", timeout=60).ok
        until(lambda: len(workers_of(process)) == 2 and killed not in workers_of(process).values())
        assert workers_of(process)[server] == other

        before = workers_of(process)
        for pid in (*before, *before.values()):
            os.kill(pid, signal.SIGKILL)
        until(lambda: len(workers_of(process)) == 2 and not before.items() & workers_of(process).items())
        until(healthy)
        process.terminate()
        assert process.wait(60) == 0


def test_pages_answer_while_writers_wait_for_another_process(olivia):
    client = signed_in(olivia)
    client.get("/jobs/")
    with locked("default", TABLES["default"]), locked("jobs", TABLES["jobs"]), locked("audit", TABLES["audit"]):
        for path in ("/", "/jobs/", "/batches/", "/api/jobs/mine", "/activity/"):
            assert client.get(path).status_code in (200, 404), path


def test_one_password_at_a_time_is_checked_for_a_name_in_all_workers(settings):
    key = "olivia 127.0.0.1"
    held = [file for file in settings.VAR_DIR.glob("sign-in-*.lock") if locks.is_held(file)]
    assert held == []
    with throttling.turn(key):
        [held] = [file for file in settings.VAR_DIR.glob("sign-in-*.lock") if locks.is_held(file)]
        assert held.exists()
    assert not locks.is_held(held)


def test_all_workers_together_hash_no_more_passwords_at_once_than_there_are_cores():
    assert 1 <= hashing.PLACES * settings.WEB_WORKERS <= max(cores(), settings.WEB_WORKERS)
