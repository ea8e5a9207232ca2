"""`manage.py set_action_batch`: what becomes of the customers, exit codes, and the report."""

import csv
import io
import json
import os
import subprocess
import sys
from collections import Counter

import pytest
from django.conf import settings as django_settings

from audit.models import AuditEntry
from jobs.batches import ledger
from jobs.models import BatchChunk, Job, JobCustomer
from setactions.batches.summary import Summary
from setactions.batches.tests.commanding import CIDS, GO, command, go_on

pytestmark = pytest.mark.usefixtures("ready")


def test_each_customer_is_sent_once_and_each_call_has_a_job(fleet, tms):
    ended = command(fleet(), *GO)
    assert ended.code == 0
    output = ended.json
    assert (output["status"], output["state"], output["customers"], output["chunks"]) == ("success", "done", 10, 5)
    assert output["counts"]["accepted"] == 10
    assert len(tms.calls()) == 5
    jobs = Job.objects.filter(batch_id=output["batch_id"])
    assert sorted(output["job_ids"]) == sorted(str(job.job_id) for job in jobs)
    assert sorted(JobCustomer.objects.values_list("cid", flat=True)) == CIDS
    assert output["resume"] is None


def test_calls_wait_for_the_interpreter_no_longer_than_in_a_server(fleet, tms, monkeypatch):
    intervals, claim = set(), ledger.claim

    def noting_claim(*args, **options):
        intervals.add(sys.getswitchinterval())
        return claim(*args, **options)

    usual = sys.getswitchinterval()
    monkeypatch.setattr(ledger, "claim", noting_claim)
    try:
        assert command(fleet(), *GO).code == 0
    finally:
        sys.setswitchinterval(usual)
    assert intervals == {0.001}


def test_it_loads_nothing_that_only_a_verification_needs():
    program = "import sys, manage, django\ndjango.setup()\nimport setactions.management.commands.set_action_batch"
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"{program}\nprint('concurrent.futures.process' in sys.modules)"],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tmsdash.settings"},
        cwd=django_settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.split() == ["False"]


def test_the_audit_names_user_source_and_the_operating_systems_user(fleet, tms):
    command(fleet(CIDS[:3]), *GO)
    intents = AuditEntry.objects.filter(kind="INTENT").order_by("pk")
    assert [(entry.user_id, json.loads(entry.body)["source"]) for entry in intents] == [("olivia", "command")] * 2
    assert all("@" in json.loads(entry.body)["run_by"] for entry in intents)


def test_columns_send_each_part_to_its_own_cluster(fleet, tms, settings):
    settings.TMS_CLUSTERS = {"evian3": tms.url, "other": tms.url.replace("127.0.0.1", "localhost")}
    rows = [f"{CIDS[0]},PE-Enable,evian3", f"{CIDS[1]},T-Enable,evian3", f"{CIDS[2]},PE-Enable,other"]
    ended = command(fleet(rows, "id,action,cluster"), *GO, cluster=None, action=None)
    assert ended.code == 0
    asked = {(job.cluster_url, job.action_name) for job in Job.objects.all()}
    assert asked == {(tms.url, "PE-Enable"), (tms.url, "T-Enable"), (settings.TMS_CLUSTERS["other"], "PE-Enable")}


def test_ids_that_tms_does_not_know_are_set_aside_and_the_rest_run_without_them(fleet, tms, monkeypatch):
    tms.script("fault:unknown-ids:1")
    file = fleet()
    ended = command(file, *GO)
    assert ended.code == 2
    assert ended.json["counts"] | {"accepted": 8, "rejected": 1, "unknown_to_tms": 1} == ended.json["counts"]
    [unknown] = ended.json["unknown_to_tms"]
    ended = go_on(file, ended, monkeypatch)
    assert (ended.code, ended.json["counts"]["rejected"]) == (2, 1)
    ended = go_on(file, ended, monkeypatch, "--without-unknown")
    assert (ended.code, ended.json["counts"]["accepted"]) == (2, 9)
    assert ended.json["unknown_to_tms"] == [unknown]
    assert sorted(JobCustomer.objects.values_list("cid", flat=True)) == sorted(set(CIDS) - {unknown})


def test_what_is_unknown_ends_with_3_and_is_not_sent_again(fleet, tms, monkeypatch):
    tms.script("fault:http:500")
    file = fleet()
    ended = command(file, *GO)
    assert (ended.code, ended.json["counts"]["unknown"]) == (3, 2)
    sent = len(tms.calls())
    ended = go_on(file, ended, monkeypatch, "--without-unknown")
    assert (ended.code, len(tms.calls())) == (3, sent)


def test_a_cluster_that_asks_for_fewer_calls_gets_them_later(fleet, tms):
    tms.script("fault:http:429")
    ended = command(fleet(CIDS[:4]), *GO)
    assert ended.code == 0
    tries = BatchChunk.objects.order_by("number").values_list("tries", flat=True)
    assert sorted(tries) == [1, 2]
    assert Job.objects.count() == 2
    first, second, other = map(
        json.loads, AuditEntry.objects.filter(kind="INTENT").order_by("pk").values_list("body", flat=True)
    )
    assert [part["try"] for part in (first, second, other)] == [1, 2, 1]
    assert second["retry_of"] == str(AuditEntry.objects.filter(kind="INTENT").earliest("pk").attempt_id)


def test_503_leaves_its_chunk_unknown(fleet, tms):
    tms.script("fault:http:503")
    ended = command(fleet(CIDS[:4]), *GO)
    assert (ended.code, ended.json["counts"]["unknown"], ended.json["counts"]["accepted"]) == (3, 2, 2)


def test_a_tms_that_is_not_ready_is_asked_again(fleet, tms):
    tms.script("fault:not-ready")
    assert command(fleet(), *GO).code == 0
    assert len(tms.calls()) == 6


def test_a_token_that_is_not_taken_ends_it_and_the_next_one_goes_on(fleet, tms, monkeypatch):
    tms.script("", "fault:http:401")
    file = fleet()
    ended = command(file, *GO)
    assert (ended.code, ended.json["state"]) == (2, "paused")
    assert "token" in ended.json["reason"]
    assert f"--batch-id {ended.json['batch_id']}" in ended.json["resume"]
    ended = go_on(file, ended, monkeypatch)
    assert (ended.code, ended.json["counts"]["accepted"]) == (0, 10)
    assert set(Counter(JobCustomer.objects.values_list("cid", flat=True)).values()) == {1}


def test_five_failures_in_a_row_stop_it(fleet, tms):
    tms.script(*["fault:http:500"] * 9)
    ended = command(fleet([f"{number:032x}" for number in range(20)]), *GO)
    assert (ended.code, ended.json["state"], len(tms.calls())) == (3, "stopped", 5)
    assert ended.json["counts"]["waiting"] == 10


def test_a_batch_that_is_done_sends_nothing_and_reports(fleet, tms, monkeypatch, tmp_path):
    file = fleet()
    ended = command(file, *GO)
    ended = go_on(file, ended, monkeypatch, "--report", tmp_path / "out.csv")
    assert (ended.code, len(tms.calls())) == (0, 5)
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 11


def test_the_report_says_what_became_of_each_customer(fleet, tms, tmp_path):
    tms.script("fault:unknown-ids:1", "fault:http:500")
    out = tmp_path / "out.csv"
    out.write_text("what was there before\n")
    command(fleet(["=1", *CIDS[:5]]), *GO, "--allow-unusual", "--report", out)
    rows = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"))))
    assert sorted(row["customer_id"] for row in rows) == sorted(["'=1", *(f"'{cid}" for cid in CIDS[:5])])
    assert Counter(row["outcome"] for row in rows) == {"accepted": 2, "unknown": 2, "rejected": 1, "unknown_to_tms": 1}


def test_a_chunk_that_seems_to_be_sent_counts_as_unknown(make_batch, olivia):
    batch = make_batch(count=2)
    assert ledger.lease(batch, "gone", 60)
    ledger.claim(batch, "gone", 2)
    summary = Summary(batch)
    assert (summary.exit_code, summary.counts()["unknown"]) == (3, 2)
