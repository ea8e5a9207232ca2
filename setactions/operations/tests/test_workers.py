"""Several workers of one server: each lives on its own, and what is promised holds for all of them together."""

import os
import re
import signal
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import requests
from django.conf import settings

from audit.accounts import throttling
from setactions.operations.tests.test_serve import children, serving
from tmsdash.passwords import hashing
from tmsdash.processes import cores
from tmsdash.server.tests.test_watchdog import signed_in as signed_in_over_http
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import locked, until

pytestmark = [pytest.mark.sqlite, pytest.mark.linux]

AT_REST_MB, MORE_MB = 120, 60
FLEET, FLEETS = 27_682, 3
OPERATORS = 64
FILL_SEGMENT = """
    INSERT INTO audit_attemptcustomer (segment, attempt_id, cid)
    WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 500000)
    SELECT 0, 0, printf('c%031d', number) FROM numbers"""
TABLES = {"default": "auth_group", "jobs": "jobs_job", "audit": "audit_attempt"}


def workers_of(process):
    """The workers, by the main processes above them."""
    return {server: children(server)[-1] for server in children(process.pid) if children(server)}


def listening(process):
    """How many sockets listen at the server's port; each worker begins with one of its own."""
    port = int(process.url.rpartition(":")[2])
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(local.endswith(f":{port:04X}") and state == "0A" for _, local, _, state, *_ in rows)


def test_a_worker_that_is_killed_leaves_the_others_alone_and_all_that_are_killed_come_back(tmp_path):
    with serving(tmp_path, WEB_WORKERS="2") as (process, healthy):
        until(lambda: len(workers_of(process)) == 2 and listening(process) == 2)
        (_, killed), (server, other) = workers_of(process).items()
        os.kill(killed, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{killed}").exists())  # as long as it ends, it may take connections with it
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


def set_action(process, operator, simulator, cids, token=TOKEN):
    """Let a script of this operator send a Set Action."""
    call = {
        "url": f"{simulator.url}/tms/v1/set/action",
        "token": token,
        "isPost": True,
        "confirm": len(cids),
        "postData": {"action": "PE-Enable", "cids": cids},
    }
    headers = {"X-CSRFToken": operator.cookies["csrftoken"]}
    return operator.post(f"{process.url}/proxy_fetch", json=call, headers=headers, timeout=60)


def test_sixty_four_operators_send_at_once_and_pages_stay_quick(tmp_path, running_simulator):
    running_simulator.reset()
    clusters = f"evian3={running_simulator.url}"
    with (
        serving(tmp_path, WEB_WORKERS="2", TMS_CLUSTERS=clusters) as (process, _),
        ThreadPoolExecutor(OPERATORS) as crowd,
    ):
        operator = signed_in_over_http(process.url, tmp_path)
        at_rest = {worker: resident_mb(worker)[0] for worker in workers_of(process).values()}
        slow = partial(set_action, process, operator, running_simulator, token="fault:slow:3600")
        answers = [crowd.submit(slow, [f"c{number}"]) for number in range(OPERATORS)]
        until(lambda: len(running_simulator.calls()) == OPERATORS or any(answer.done() for answer in answers))
        try:
            assert not any(answer.done() for answer in answers), "a call was refused"
            for _ in range(5):
                assert operator.get(f"{process.url}/jobs/", timeout=60).ok
        finally:
            running_simulator.release()
        assert {answer.result().json()["outcome"] for answer in answers} == {"accepted"}
        assert all(resident_mb(worker)[1] - before_mb < MORE_MB for worker, before_mb in at_rest.items())
        assert measured_calls(process) == {OPERATORS}
        os.kill(next(iter(at_rest)), signal.SIGKILL)
        until(lambda: len(at_rest.keys() & workers_of(process).values()) == 1 and len(workers_of(process)) == 2)
        assert measured_calls(process) == {OPERATORS}  # what a dead worker measured stays


def measured_calls(process):
    """How many calls the histogram of /metrics has, as some scrapes say, whichever workers they reach."""
    line = re.compile(r'^tms_dashboard_call_duration_seconds_count\{cluster="evian3"\} ([0-9.]+)$', re.MULTILINE)
    scrapes = [requests.get(f"{process.url}/metrics", timeout=60).text for _ in range(6)]
    return {float(line.search(text)[1]) for text in scrapes}


def resident_mb(pid):
    """What a process takes of the memory, in MB, and the most that it ever took."""
    status = Path(f"/proc/{pid}/status").read_text()
    return [int(re.search(rf"{name}:\s+([0-9]+) kB", status)[1]) >> 10 for name in ("VmRSS", "VmHWM")]


def test_a_worker_takes_little_memory_and_whole_fleets_at_once_little_more(tmp_path, running_simulator):
    running_simulator.reset()
    environment = {"TMS_CLUSTERS": f"evian3={running_simulator.url}", "TMS_MAX_CIDS_PER_CALL": "30000"}
    with serving(tmp_path, WEB_WORKERS="1", **environment) as (process, _), ThreadPoolExecutor(FLEETS) as crowd:
        operator = signed_in_over_http(process.url, tmp_path)
        with (
            closing(sqlite3.connect(tmp_path / "audit.db")) as audit,
            audit,
        ):  # a fleet then changes most pages of the index
            audit.execute(FILL_SEGMENT)
        [worker] = workers_of(process).values()
        assert requests.get(f"{process.url}/health", timeout=60).ok
        at_rest, _ = resident_mb(worker)
        assert at_rest < AT_REST_MB
        fleets = [[f"c{18 * place + number:031}" for place in range(FLEET)] for number in range(FLEETS)]
        send = partial(set_action, process, operator, running_simulator)
        assert all(answer.ok for answer in crowd.map(send, fleets))
        job = operator.get(f"{process.url}/api/jobs/mine", timeout=60).json()["jobs"][0]
        assert job["customer_count"] == FLEET
        for path in (f"jobs/{job['job_id']}/", f"jobs/{job['job_id']}/customers.csv"):
            assert operator.get(f"{process.url}/{path}", timeout=60).ok, path
        assert resident_mb(worker)[1] - at_rest < MORE_MB


def test_pages_answer_while_writers_wait_for_another_process(olivia):
    client = signed_in(olivia)
    client.get("/jobs/")
    with locked("default", TABLES["default"]), locked("jobs", TABLES["jobs"]), locked("audit", TABLES["audit"]):
        for path in ("/", "/jobs/", "/batches/", "/api/jobs/mine", "/activity/"):
            assert client.get(path).status_code in (200, 404), path


def test_one_password_at_a_time_is_checked_for_a_name_in_all_workers(monkeypatch):
    key = "olivia 127.0.0.1"
    entered = threading.Event()

    def check_in_another_worker():
        with throttling.turn(key):
            entered.set()

    with throttling.turn(key):
        monkeypatch.setattr(throttling, "_turns", [threading.Lock() for _ in throttling._turns])  # another process'
        other = threading.Thread(target=check_in_another_worker)
        other.start()
        until(lambda: hashing._line._value == hashing.PLACES + hashing.WAITING - 2)
        assert not entered.wait(0.1)
    assert entered.wait(60)
    other.join()


def test_all_workers_together_hash_no_more_passwords_at_once_than_there_are_cores():
    assert 1 <= hashing.PLACES * settings.WEB_WORKERS <= max(cores(), settings.WEB_WORKERS)
