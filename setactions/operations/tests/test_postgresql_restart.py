"""PostgreSQL goes away and comes back: meanwhile nobody waits for it, and whoever asks first after that is served.

`-rP` shows how many seconds that took.
"""

import os
import subprocess
import time

import psycopg
import pytest

from jobs.models import Job
from setactions.operations import health
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import at_once, in_thread, until

pytestmark = pytest.mark.postgresql
THREADS = 8


def control(*arguments):
    subprocess.run([os.environ["TEST_POSTGRES_CONTROL"], *arguments], check=True)


@pytest.fixture
def ask(fetch, olivia, monkeypatch):
    """Ask for /health and a page, and post a Set Action, in many threads at once; returns all codes of each."""
    monkeypatch.setattr(health, "WRITABLE_FOR_S", -1)
    clients = [signed_in(olivia, raise_request_exception=False) for _ in range(THREADS)]
    rounds = iter(range(1000))

    def codes(threads=THREADS):
        turn = next(rounds)

        def use(number):
            client = clients[number]
            return (
                client.get("/health").status_code,
                client.get("/jobs/").status_code,
                fetch(client=client, cids=[f"c{turn}-{number}"]).status_code,
            )

        return dict(zip(("health", "page", "action"), map(set, zip(*at_once(threads, use), strict=True)), strict=True))

    return codes


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_the_first_requests_after_a_restart_are_answered(ask, mode):
    fine = {"health": {200}, "page": {200}, "action": {200}}
    assert ask() == fine  # in as many connections as threads
    with psycopg.connect(f"{os.environ['TEST_POSTGRES_URL']}/postgres") as server:
        server.execute("CHECKPOINT")  # the server of the tests says that something is written before it is
    control("stop", "-m", mode)
    try:
        for _ in range(3):
            assert ask() == {"health": {503}, "page": {503}, "action": {503}}
    finally:
        control("start")
    with psycopg.connect(f"{os.environ['TEST_POSTGRES_URL']}/postgres"):
        began = time.monotonic()
    assert ask(threads=1) == fine
    print(f"Served {time.monotonic() - began:.2f} s after PostgreSQL's return.")  # noqa: T201
    assert ask() == fine
    assert in_thread(Job.objects.count) == 2 * THREADS + 1


@pytest.mark.pgbouncer
def test_behind_pgbouncer_everything_is_served_again(ask):
    assert ask() == {"health": {200}, "page": {200}, "action": {200}}
    control("stop", "-m", "immediate")
    try:
        assert ask() == {"health": {503}, "page": {503}, "action": {503}}
    finally:
        control("start")
    began, served = time.monotonic(), {}

    def are_all_served():
        for name, codes in ask(threads=1).items():
            if codes == {200}:
                served.setdefault(name, time.monotonic() - began)
        return len(served) == 3

    until(are_all_served)
    print({name: f"{seconds:.1f} s" for name, seconds in served.items()}, "after PostgreSQL's return.")  # noqa: T201
