"""`manage.py serve` finishes what was left open, without a token, before its workers start; it starts them anyway."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from django.conf import settings
from django.db import connections

from audit.models import Attempt
from audit.tests.making import tampering
from jobs.models import Job
from setactions.resolving.tests.doubting import (
    LOST_AFTER,
    VARIABLES,
    environment_of_process,
    now,
    reads,
    send,
    send_and_die,
)

pytestmark = [pytest.mark.usefixtures("databases", "tms"), pytest.mark.pages]
PLANTED = "planted-secret-token-9876543210"
OWED = "service: answer in the audit"
WAIT_S = 60


@contextmanager
def serving(environment, log):
    """The production server; yields its process id and its answer to /health, once it has one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "manage.py", "serve", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=settings.BASE_DIR, stdout=output, stderr=output, start_new_session=True
        )
    try:
        retry = requests.adapters.Retry(total=60, backoff_factor=0.05, backoff_max=1)
        with requests.Session() as session:
            session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
            yield process.pid, session.get(f"http://127.0.0.1:{port}/health", timeout=WAIT_S)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(WAIT_S)


def environments_of(group):
    """The environments of the processes of a group."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            if status.read_text().rpartition(")")[2].split()[2] == str(group):
                yield (status.parent / "environ").read_bytes()
        except OSError:
            continue  # it ended meanwhile


def test_what_is_owed_is_recorded_before_the_first_page_and_no_token_is_used_or_kept(fetch, tms, tmp_path):
    owed, lost = send_and_die(fetch, OWED), send(fetch, "c", token=LOST_AFTER)
    connections.close_all()
    log = tmp_path / "log"
    with serving(environment_of_process(tms, tmp_path) | {"TMS_TOKEN": PLANTED}, log) as (group, health):
        assert health.json() == {"status": "healthy", "service": "TMS Dashboard"}
        assert Job.objects.get().job_id == owed.attempt_id
        kept = list(environments_of(group))
    assert not now(owed).is_open
    assert now(lost).is_open
    assert reads(tms) == []
    assert sum(b"TMS_CLUSTERS" in environment for environment in kept) > 1
    assert not any(PLANTED.encode() in environment for environment in kept)
    said = log.read_text()
    assert "[RECONCILE] closed=1, recorded=1, need_token=1" in said
    assert said.index("[RECONCILE]") < said.index("Starting granian")
    assert PLANTED not in said


def test_an_attempt_that_nobody_can_record_does_not_keep_the_site_down(fetch, tms, tmp_path):
    owed = send_and_die(fetch, OWED)
    with tampering() as cursor:
        cursor.execute("UPDATE audit_auditentry SET body = 'cut sho' WHERE kind = 'INTENT'")
    connections.close_all()
    with serving(environment_of_process(tms, tmp_path), tmp_path / "log") as (_, health):
        assert health.status_code == 200
    assert Attempt.objects.get() == owed
    assert str(owed.attempt_id) in (tmp_path / "log").read_text()


def test_databases_that_are_not_there_do_not_keep_the_site_down(tms, tmp_path):
    files = {variable: f"sqlite:///{tmp_path}/{variable}.db" for variable in VARIABLES.values()}
    with serving(environment_of_process(tms, tmp_path) | files, tmp_path / "log") as (_, health):
        assert health.status_code == 503
    assert "What was left open stays open for now." in (tmp_path / "log").read_text()
