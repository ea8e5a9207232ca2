"""Many at once: clicks on one form, operators side by side, two server processes on the same files."""

import os
import socket
import sqlite3
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial

import pytest
import requests
from django.conf import settings as django_settings

from audit.models import Attempt, AuditEntry
from jobs.models import Job
from setactions.pages.tests.test_new_action import fill_in, hidden_fields, press
from tmsdash.tests.fixtures import PASSWORD, TOKEN, signed_in
from tmsdash.tests.tools import at_once, install, run_python, until

PARALLEL = 50
OPERATORS = 32
EACH = 2
START_S = 60


def test_fifty_parallel_posts_of_one_key_make_one_call_and_one_job(fetch, tms, olivia):
    key = uuid.uuid4()
    clients = [signed_in(olivia) for _ in range(PARALLEL)]
    answers = at_once(PARALLEL, lambda number: fetch(client=clients[number], key=key))
    assert len(tms.calls()) == Job.objects.count() == Attempt.objects.count() == 1
    assert {answer.json()["outcome"] for answer in answers} <= {"accepted", "pending"}
    assert sum("replayed" not in answer.json() and answer.status_code == 200 for answer in answers) == 1
    assert {answer.json()["attempt_id"] for answer in answers} == {str(key)}


def test_fifty_parallel_posts_of_one_form_make_one_call_and_one_job(tms, olivia):
    page = fill_in(signed_in(olivia), cids="a1")
    hidden = hidden_fields(page) | {"token": TOKEN}
    clients = [signed_in(olivia) for _ in range(PARALLEL)]
    answers = at_once(PARALLEL, lambda number: press(clients[number], "send/", hidden))
    assert len(tms.calls()) == Job.objects.count() == 1
    assert {(answer.status_code, answer.get("Location")) for answer in answers} == {
        (302, f"/attempts/{Job.objects.get().job_id}/")
    }


def test_parallel_posts_of_one_list_without_a_key_make_one_call(fetch, tms, olivia):
    clients = [signed_in(olivia) for _ in range(10)]
    answers = at_once(10, lambda number: fetch(client=clients[number]))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
    assert len(tms.calls()) == Job.objects.count() == 1


# Without passwords: to check them all would take longer than everything that is sent.
SIGN_IN_OPERATORS = f"""
from django.contrib.auth.models import Group, User
from django.test import Client
users = User.objects.bulk_create([User(username=f'op{{n}}') for n in range({OPERATORS})])
Group.objects.get(name='Operators').user_set.add(*users)
for user in users:
    client = Client()
    client.force_login(user)
    print(client.session.session_key)
"""


@pytest.fixture
def two_servers(running_simulator, tmp_path):
    """Two production servers on one set of SQLite files; yields their URLs, and the keys of OPERATORS sessions."""
    running_simulator.reset()
    environment = {name: value for name, value in os.environ.items() if not name.endswith(("DATABASE_URL", "MODULE"))}
    environment |= {
        "VAR_DIR": str(tmp_path),
        "ENV_FILE": os.devnull,
        "TMS_CLUSTERS": f"evian3={running_simulator.url}",
        "DJANGO_SETTINGS_MODULE": "tmsdash.settings",
    }
    install(tmp_path)
    made = run_python("manage.py", "shell", "-v0", "-c", SIGN_IN_OPERATORS, var_dir=tmp_path)
    assert made.returncode == 0
    servers = [_start_server(environment) for _ in range(2)]
    try:
        for process, url in servers:
            _wait_until_healthy(process, url)
        yield [url for _, url in servers], made.stdout.split()
    finally:
        for process, _ in servers:
            process.terminate()
        for process, _ in servers:
            process.wait(START_S)


def _start_server(environment):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "manage.py", "serve", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, cwd=django_settings.BASE_DIR, stderr=subprocess.DEVNULL)
    return process, f"http://127.0.0.1:{port}"


def _wait_until_healthy(process, url):
    retry = requests.adapters.Retry(total=60, backoff_factor=0.05, backoff_max=1)
    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
        assert session.get(f"{url}/health", timeout=START_S).json()["status"] == "healthy"
    assert process.poll() is None


@pytest.mark.sqlite
def test_bodies_that_never_end_leave_threads_for_pages(tmp_path):
    environment = {"PATH": os.environ["PATH"], "VAR_DIR": str(tmp_path), "ENV_FILE": os.devnull, "WEB_THREADS": "4"}
    install(tmp_path)
    process, url = _start_server(environment)
    with ExitStack() as half_sent:
        half_sent.callback(process.wait, START_S)
        half_sent.callback(process.terminate)
        _wait_until_healthy(process, url)
        login = requests.get(f"{url}/login/", timeout=START_S)
        cookie = f"csrftoken={login.cookies['csrftoken']}"  # anybody gets one, and only then the body is read
        head = f"POST /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\nContent-Length: 1000\r\n\r\na"
        for _ in range(12):
            connection = half_sent.enter_context(socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))))
            connection.sendall(head.encode())
        for _ in range(5):
            assert requests.get(f"{url}/health", timeout=60).status_code == 200
        assert requests.post(f"{url}/login/", data={"a": "b"}, timeout=60).status_code == 503


SIGN_INS = 60
MAKE_OLIVIA = "from django.contrib.auth.models import User; User.objects.create_user('olivia', password='{}')"


@pytest.mark.sqlite
def test_strangers_who_sign_in_leave_threads_and_cores_for_pages(tmp_path):
    """With hashes as costly as in production. Before hashing had places a page waited for nearly all of them."""
    environment = {"PATH": os.environ["PATH"], "VAR_DIR": str(tmp_path), "ENV_FILE": os.devnull}
    install(tmp_path)
    make_olivia = MAKE_OLIVIA.format(PASSWORD)
    assert run_python("manage.py", "shell", "-v0", "-c", make_olivia, var_dir=tmp_path).returncode == 0
    process, url = _start_server(environment)
    with ExitStack() as running:
        running.callback(process.wait, START_S)
        running.callback(process.terminate)
        _wait_until_healthy(process, url)
        olivia = running.enter_context(requests.Session())
        assert _sign_in(olivia, url, "olivia", PASSWORD).status_code == 302
        crowd = running.enter_context(ThreadPoolExecutor(SIGN_INS))
        strangers = [crowd.submit(_sign_in, requests.Session(), url, f"name{n}", "wrong") for n in range(SIGN_INS)]
        pages = 0
        while not all(stranger.done() for stranger in strangers):
            assert olivia.get(f"{url}/jobs/", timeout=START_S, allow_redirects=False).status_code == 200
            pages += 1
        assert pages > 10
        answers = [stranger.result() for stranger in strangers]
        assert {answer.status_code for answer in answers} == {200, 503}
        assert {answer.headers.get("Retry-After") for answer in answers} == {None, "5"}
        assert _sign_in(requests.Session(), url, "olivia", PASSWORD).status_code == 302  # the places are free again


def _sign_in(session, url, name, password):
    session.get(f"{url}/login/", timeout=START_S)
    form = {"username": name, "password": password, "csrfmiddlewaretoken": session.cookies["csrftoken"]}
    return session.post(f"{url}/login/", data=form, timeout=START_S, allow_redirects=False)


@pytest.mark.sqlite
def test_thirty_two_operators_on_two_servers_lose_nothing(two_servers, running_simulator, tmp_path):
    sites, session_keys = two_servers

    def operate(number):
        site = sites[number % 2]
        with requests.Session() as session:
            session.cookies["sessionid"] = session_keys[number]
            session.get(site, timeout=START_S)
            answers = []
            for round_number in range(EACH):
                body = {
                    "url": f"{running_simulator.url}/tms/v1/set/action",
                    "token": TOKEN,
                    "isPost": True,
                    "postData": {"action": "T-Enable", "cids": [f"c{number}-{round_number}-{n}" for n in range(20)]},
                }
                headers = {"X-CSRFToken": session.cookies["csrftoken"]}
                send = partial(session.post, f"{site}/proxy_fetch", json=body, headers=headers, timeout=START_S)
                while (answer := send()).status_code == 503:  # busy, and nothing was sent: on a slow machine
                    assert answer.json()["outcome"] == "refused"
                answers.append(answer)
            return answers

    answers = [answer for operator in at_once(OPERATORS, operate) for answer in operator]
    assert {(answer.status_code, answer.json()["outcome"]) for answer in answers} == {(200, "accepted")}
    shown = {answer.json()["job_id"] for answer in answers}
    files = [tmp_path / "jobs.db", tmp_path / "audit.db"]
    with closing(sqlite3.connect(files[0])) as jobs, closing(sqlite3.connect(files[1])) as audit:
        stored = {str(uuid.UUID(job_id)) for (job_id,) in jobs.execute("SELECT job_id FROM jobs_job")}
        assert stored == shown
        assert len(shown) == OPERATORS * EACH == len(running_simulator.calls())
        assert jobs.execute("SELECT count(*) FROM jobs_jobcustomer").fetchone() == (OPERATORS * EACH * 20,)
        until(lambda: audit.execute("SELECT count(*) FROM audit_attempt WHERE is_open").fetchone() == (0,))
        for database in (jobs, audit):
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_every_accepted_call_among_many_outcomes_has_its_job_and_nothing_else_has(fetch, tms, olivia):
    faults = ["", "", "fault:not-ready", "fault:http:500", "fault:reset-after", "fault:created", "fault:unknown-ids"]
    clients = [signed_in(olivia) for _ in range(28)]
    answers = at_once(
        28, lambda n: fetch(client=clients[n], token=faults[n % 7] or TOKEN, cids=[f"c{n}"], sendAgain=bool(n % 2))
    )
    accepted = {answer.json()["job_id"] for answer in answers if answer.json()["outcome"] == "accepted"}
    assert {str(job_id) for job_id in Job.objects.values_list("job_id", flat=True)} == accepted
    assert len(accepted) == 12
    assert AuditEntry.objects.filter(kind="INTENT").count() == len(tms.calls()) == 28
