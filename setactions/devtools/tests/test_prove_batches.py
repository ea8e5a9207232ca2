"""`manage.py prove --batch-kills`, for real with few kills, and that its judge sees what is planted; and SIGTERM."""

import json
import os
import random
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from setactions.devtools.proofs.batch_kills import CHUNK, CUSTOMERS, Operator, run_batch_kills
from setactions.devtools.proofs.clients import MAIN
from setactions.devtools.proofs.fleets import judge_fleets
from setactions.devtools.proofs.report import judge_remains
from setactions.devtools.proofs.site import Site
from setactions.devtools.simulator import Call, Simulator
from setactions.devtools.tests import sites

pytestmark = pytest.mark.sqlite
CIDS = ["a1", "b2", "c3", "d4"]
KILLS = int(os.environ.get("PROVE_BATCH_KILLS", "3"))  # more where there is time for them


@pytest.fixture(autouse=True)
def quickly_set_up(monkeypatch):
    monkeypatch.setattr(Site, "set_up", sites.copied)


def test_every_customer_gets_the_action_once_whatever_is_killed(tmp_path):
    remains = run_batch_kills(tmp_path, kills=KILLS, seed=1, say=lambda _: None)
    result = judge_remains(remains)
    assert result.passed, result.as_table()
    assert remains.facts["commands killed"] + remains.facts["servers killed in a batch"] >= 1
    assert len(remains.customers) == KILLS * CUSTOMERS
    assert result.as_json()["facts"]["customers"] == KILLS * CUSTOMERS
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as jobs, jobs:
        jobs.execute("UPDATE jobs_job SET batch_id = NULL WHERE id = 1")
    spoilt = judge_remains(remains)
    assert not spoilt.passed
    assert len(spoilt.judgement.violations["unfiled"]) == 1
    assert "unfiled" in spoilt.as_table()


def call(number, *cids, applied=True):
    values = {"number": number, "method": "POST", "path": "/tms/v1/set/action", "action": "PE-Enable", "cids": cids}
    return Call(**values, fault="", applied=applied, received_at=0.0)


@pytest.fixture
def jobs_file(tmp_path):
    """A ledger that lists d4 as unknown."""
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as jobs, jobs:
        jobs.execute("CREATE TABLE jobs_batchchunk (state TEXT, cids TEXT)")
        jobs.execute("CREATE TABLE jobs_job (job_id TEXT, batch_id TEXT)")
        chunks = [("accepted", json.dumps(CIDS[:3])), ("unknown", json.dumps(CIDS[3:]))]
        jobs.executemany("INSERT INTO jobs_batchchunk VALUES (?, ?)", chunks)
    return tmp_path / "jobs.db"


@pytest.mark.parametrize(
    ("calls", "kind", "count"),
    [
        ([call(1, *CIDS)], None, 0),
        ([call(1, *CIDS[:3])], None, 0),  # the fourth one is listed as unknown
        ([call(1, *CIDS[:3]), call(2, *CIDS, applied=False)], None, 0),
        ([call(1, *CIDS), call(2, "b2")], "twice", 1),
        ([call(1, "a1", "b2")], "left_out", 1),
        ([call(1, *CIDS, applied=False)], "left_out", 3),
    ],
)
def test_the_judge_counts_customer_by_customer(calls, kind, count, jobs_file):
    found = judge_fleets(CIDS, calls, jobs_file)
    assert {name: len(cases) for name, cases in found.items() if cases} == ({kind: count} if kind else {})


def test_the_command_reports_what_was_proven(monkeypatch):
    kills = []
    monkeypatch.setattr(
        "setactions.management.commands.prove.run_batch_kills", lambda folder, **options: kills.append(options)
    )
    monkeypatch.setattr("setactions.management.commands.prove.judge_remains", lambda _: Passed())
    output = StringIO()
    call_command("prove", batch_kills=7, seed=3, stdout=output, stderr=StringIO())
    assert (kills[0]["kills"], kills[0]["seed"], output.getvalue()) == (7, 3, "a table\n")
    with pytest.raises(CommandError, match="at least one"):
        call_command("prove", batch_kills=0)


class Passed:
    passed = True

    def as_table(self):
        return "a table"


def test_a_server_that_is_asked_to_end_finishes_its_calls_and_leaves_the_rest_to_be_gone_on_with(tmp_path):
    settings = {"TMS_BATCH_CHUNK": CHUNK, "TMS_MAX_CIDS_PER_CALL": CHUNK, "TMS_BATCH_CALLS": 2}
    with (
        Simulator() as tms,
        Site(tmp_path, {MAIN: tms.url}, **settings) as site,
    ):
        site.set_up()
        operator = Operator(site, tms, random.Random(1))  # noqa: S311 (repeatable, not secret)
        single = operator.review(["one"])
        tms.script("", "fault:slow:1", "fault:slow:1", "fault:slow:1.8")
        fleet = operator.start_on_pages()
        tms.wait_for(lambda calls: len(calls) == 3)
        with ThreadPoolExecutor(1) as pool:  # the server waits for this request, and must not claim chunks meanwhile
            sent = pool.submit(operator.send, "send", *single)
            tms.wait_for(lambda calls: len(calls) == 4)
            operator.server.stop()
            assert sent.result(timeout=60).status_code == 302
        assert len(tms.calls()) == 4
        with closing(sqlite3.connect(tmp_path / "jobs.db")) as jobs:
            [batch] = jobs.execute("SELECT state, runner, reason FROM jobs_batch").fetchall()
            chunks = dict(jobs.execute("SELECT state, count(*) FROM jobs_batchchunk GROUP BY state"))
            alone = jobs.execute("SELECT count(*) FROM jobs_job WHERE batch_id IS NULL").fetchone()
        assert alone == (1,)  # what a page had sent, and nobody waited for
        assert batch == ("stopped", "", "The server that ran it was stopped. Go on with your token.")
        assert chunks == {"accepted": 3, "waiting": 7}
        operator.server.start()
        operator.server.wait_until_healthy()
        operator.go_on(fleet, "resume")
        assert sorted(cid for one in tms.calls() for cid in one.cids) == sorted([*fleet.cids, "one"])

        calls = len(tms.calls())
        tms.script("fault:slow:3600")
        assert operator.send("send", *operator.review(["two"])).status_code == 302
        tms.wait_for(lambda calls_: len(calls_) == calls + 1)
        operator.server.kill()
        with closing(sqlite3.connect(tmp_path / "audit.db")) as audit:
            open_attempts = audit.execute("SELECT outcome FROM audit_attempt WHERE is_open").fetchall()
        assert open_attempts == [("pending",)]  # in doubt, once it is too old to be running
        tms.release()
