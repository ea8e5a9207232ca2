"""`manage.py prove`, for real with few kills: its result, its traces, and that it sees a defect end to end."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command

from setactions.devtools.proofs.judge import KINDS
from setactions.devtools.proofs.site import ProofError, Server, Site
from setactions.devtools.tests import sites
from setactions.management.commands import prove
from tmsdash.tests.tools import heeding_signals, until

pytestmark = pytest.mark.sqlite
END_S = 60
KILLS = int(os.environ.get("PROVE_KILLS", "3"))  # more where there is time for them


@pytest.fixture(scope="module")
def proven(tmp_path_factory):
    """The output of one real proof, and a copy of what it left behind."""
    temporary, copy = tmp_path_factory.mktemp("proof"), tmp_path_factory.mktemp("kept") / "site"
    campaign, kept = prove.run_campaign, []

    def keep(folder, **kwargs):
        remains = campaign(folder, **kwargs)
        shutil.copytree(folder, copy)
        kept.append(replace(remains, folder=copy))
        return remains

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(temporary))
        patch.setattr(prove, "run_campaign", keep)
        patch.setattr(Site, "set_up", sites.copied)
        output, progress = StringIO(), StringIO()
        call_command("prove", kills=KILLS, clients=4, seed=1, json=True, stdout=output, stderr=progress)
    assert list(temporary.iterdir()) == []
    assert processes_of(temporary) == []
    return json.loads(output.getvalue()), progress.getvalue(), kept[0]


@pytest.fixture
def prove_again(proven, monkeypatch, tmp_path):
    """Let the command judge the same remains again, after `spoil(folder)`; returns its rows and its error."""

    def run(spoil=lambda folder: None, **changes):
        def campaign(folder, **kwargs):
            shutil.copytree(proven[2].folder, folder, dirs_exist_ok=True)
            spoil(folder)
            return replace(proven[2], folder=folder, **changes)

        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        monkeypatch.setattr(prove, "run_campaign", campaign)
        output, error = StringIO(), ""
        try:
            call_command("prove", stdout=output, stderr=StringIO())
        except CommandError as failure:
            error = str(failure)
        return {line[:28].strip(): line[28:38].strip() for line in output.getvalue().splitlines()}, error

    return run


def processes_of(folder):
    """Return the processes that have this folder in their environment."""
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            environment = file.read_bytes()
        except OSError:  # gone meanwhile
            continue
        if str(folder).encode() in environment and file.parent.name != str(os.getpid()):
            found.append(file.parent.name)
    return found


def test_the_promise_is_kept_when_servers_are_killed(proven):
    result, progress, _ = proven
    assert result["passed"]
    assert result["violations"] == {kind: [] for kind in KINDS}
    assert set(result["open"]) == set(result["mixed"])
    assert result["surprises"] == []
    assert f"{KILLS} kills, 4 clients, seed 1" in progress
    assert f"{KILLS} of {KILLS} kills" in progress


def test_there_was_something_to_be_lost(proven):
    result, _, remains = proven
    assert result["facts"]["kills"] == KILLS
    assert result["facts"]["applied"] > 5
    assert result["facts"]["broken connections"] > 0
    assert result["facts"]["calls"] >= result["facts"]["applied"] >= result["facts"]["jobs"]
    assert {shown.outcome for shown in remains.shown} > {"accepted"}


def test_the_table_names_every_kind_and_count(prove_again, tmp_path):
    rows, error = prove_again()
    assert {kind: rows[kind] for kind in KINDS} == dict.fromkeys(KINDS, "0")
    assert {"submissions", "kills", "calls", "applied", "jobs", "open", "of these mixed", "surprises"} <= set(rows)
    assert error == ""
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_is_missing_fails_the_proof_and_keeps_the_databases(prove_again, tmp_path):
    def delete_job(folder):
        with closing(sqlite3.connect(folder / "jobs.db")) as jobs, jobs:
            [row_id] = jobs.execute("SELECT min(id) FROM jobs_job").fetchone()
            jobs.execute("DELETE FROM jobs_jobcustomer WHERE job_id = ?", [row_id])
            jobs.execute("DELETE FROM jobs_job WHERE id = ?", [row_id])

    rows, error = prove_again(delete_job)
    assert rows["lost"] == "1"
    [folder] = tmp_path.iterdir()
    assert error == f"The promise was not kept. Databases and logs are in {folder}."
    assert (folder / "jobs.db").exists()


def test_what_reconcile_could_have_closed_fails_the_proof(prove_again):
    def reopen(folder):
        with closing(sqlite3.connect(folder / "audit.db")) as audit, audit:
            query = "SELECT attempt_id FROM audit_attempt WHERE outcome = 'accepted' AND NOT is_open"
            attempt_id = audit.execute(query).fetchone()
            audit.execute("DROP TRIGGER audit_auditentry_delete")
            audit.execute("DELETE FROM audit_auditentry WHERE kind = 'RECORDED' AND attempt_id = ?", attempt_id)
            audit.execute("UPDATE audit_attempt SET is_open = 1, job_owed = 1 WHERE attempt_id = ?", attempt_id)

    rows, error = prove_again(reopen)
    assert rows["left open"] == "1"
    assert {kind: rows[kind] for kind in KINDS} == dict.fromkeys(KINDS, "0")
    assert error


def test_a_surprise_fails_the_proof(prove_again):
    rows, error = prove_again(surprises=["proxy_fetch: HTTP 500: oops"])
    assert rows["surprises"] == "1"
    assert error


def test_stopping_it_leaves_no_process_and_no_file(tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, "TMPDIR": str(temporary)}
    environment["VAR_DIR"] = str(tmp_path / "var")
    command = [sys.executable, "manage.py", "prove", "--kills", "100000", "--clients", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    for end_signal, moment in ((signal.SIGINT, "are signed in"), (signal.SIGTERM, "kills, 2 clients")):  # or not yet
        with subprocess.Popen(
            command, env=environment, cwd=django_settings.BASE_DIR, preexec_fn=heeding_signals, **pipes
        ) as process:
            while moment not in process.stderr.readline():
                assert process.poll() is None
            until(lambda at=moment: len(processes_of(temporary)) >= (3 if at == "are signed in" else 2))
            process.send_signal(end_signal)
            assert process.wait(END_S) == 130
            assert "Stopped" in process.stderr.read()
        assert processes_of(temporary) == []
        assert list(temporary.iterdir()) == []
    assert not list((tmp_path / "var").glob("*.db"))  # the configured databases are left alone


def test_a_site_that_does_not_come_up_is_no_broken_promise(tmp_path):
    with Site(tmp_path, {"main": "no origin"}) as site:
        with pytest.raises(ProofError, match="(?s)migrate_all failed.*TMS_CLUSTERS"):
            site.set_up()
        with pytest.raises(ProofError, match="(?s)server-1 ended by itself.*TMS_CLUSTERS"):
            Server(site, 1).wait_until_healthy()
    with pytest.raises(ProofError, match="over"):
        site.set_up()


def test_an_audit_that_was_changed_is_a_surprise(tmp_path, monkeypatch):
    monkeypatch.setattr(Site, "set_up", sites.copied)
    with Site(tmp_path, {"main": "http://127.0.0.1:9"}) as site:
        site.set_up()
        assert site.audit_problems() == []  # the account's entry, with its anchor in the log
        with closing(sqlite3.connect(tmp_path / "audit.db")) as audit, audit:
            audit.execute("DROP TRIGGER audit_auditentry_update")
            audit.execute("UPDATE audit_auditentry SET user_id = 'eve'")
        [problem] = site.audit_problems()
        assert problem.startswith("The audit is BROKEN. First bad: entry 1.")


def test_numbers_that_make_no_sense_are_refused():
    for options in ({"kills": 0}, {"clients": 0}):
        with pytest.raises(CommandError, match="at least one"):
            call_command("prove", **options)
