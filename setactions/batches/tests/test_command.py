"""`manage.py set_action_batch`: options, outcomes, what it prints, exit codes; and how it goes on after an end."""

import csv
import io
import json
import signal
import subprocess
import sys
import threading
import uuid
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model

from audit.models import AuditEntry
from jobs.models import Batch, BatchChunk, Job, JobCustomer
from setactions.batches import outcomes
from setactions.batches.tests.commanding import command
from setactions.tests.doubting import environment_of_process
from tmsdash.tests.fixtures import TOKEN
from tmsdash.tests.killing import dying_at

CIDS = [f"{number:032x}" for number in range(1, 11)]
GO = ("--yes", "--json")


@pytest.fixture(autouse=True)
def ready(tms, olivia, settings, monkeypatch):
    monkeypatch.setenv("TMS_TOKEN", TOKEN)
    monkeypatch.setattr(outcomes, "RECHECKS_S", (0, 0, 0))
    settings.TMS_BATCH_CHUNK = 2
    settings.TMS_BATCH_CALLS = 1


@pytest.fixture
def fleet(tmp_path):
    """A file of ten customers, or of those given."""

    def write(cids=CIDS, header="customer_id"):
        file = tmp_path / "fleet.csv"
        file.write_text("\n".join([header, *cids]) + "\n")
        return file

    return write


def again(file, ended, monkeypatch, *more):
    """Go on with the batch."""
    monkeypatch.setenv("TMS_TOKEN", TOKEN)  # the command takes it out of the environment
    return command(file, *GO, "--batch-id", ended.json["batch_id"], *more)


def sent(tms):
    """How often each customer was in a call."""
    return Counter(cid for call in tms.calls() for cid in call.cids)


def test_each_customer_is_sent_once_and_each_call_has_a_job(fleet, tms):
    ended = command(fleet(), *GO)
    assert ended.code == 0
    found = ended.json
    assert (found["status"], found["state"], found["customers"], found["chunks"]) == ("success", "done", 10, 5)
    assert found["counts"]["accepted"] == 10
    assert len(tms.calls()) == 5
    jobs = Job.objects.filter(batch_id=found["batch_id"])
    assert sorted(found["job_ids"]) == sorted(str(job.job_id) for job in jobs)
    assert sorted(JobCustomer.objects.values_list("cid", flat=True)) == CIDS
    assert found["resume"] is None


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
    ended = again(file, ended, monkeypatch)
    assert (ended.code, ended.json["counts"]["rejected"]) == (2, 1)
    ended = again(file, ended, monkeypatch, "--without-unknown")
    assert (ended.code, ended.json["counts"]["accepted"]) == (2, 9)
    assert ended.json["unknown_to_tms"] == [unknown]
    assert sorted(JobCustomer.objects.values_list("cid", flat=True)) == sorted(set(CIDS) - {unknown})


def test_what_is_unknown_ends_with_3_and_is_not_sent_again(fleet, tms, monkeypatch):
    tms.script("fault:http:500")
    file = fleet()
    ended = command(file, *GO)
    assert (ended.code, ended.json["counts"]["unknown"]) == (3, 2)
    sent = len(tms.calls())
    ended = again(file, ended, monkeypatch, "--without-unknown")
    assert (ended.code, len(tms.calls())) == (3, sent)


def test_a_cluster_that_asks_for_fewer_calls_gets_them_later(fleet, tms):
    tms.script("fault:http:429")
    ended = command(fleet(CIDS[:4]), *GO)
    assert ended.code == 0
    tries = BatchChunk.objects.order_by("number").values_list("tries", flat=True)
    assert sorted(tries) == [1, 2]
    assert Job.objects.count() == 2
    later = AuditEntry.objects.filter(kind="INTENT").order_by("pk").last()
    part = json.loads(later.body)
    assert part["try"] == 2
    assert part["retry_of"]


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
    ended = again(file, ended, monkeypatch)
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
    ended = again(file, ended, monkeypatch, "--report", tmp_path / "out.csv")
    assert (ended.code, len(tms.calls())) == (0, 5)
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 11


def test_the_report_says_what_became_of_each_customer(fleet, tms, tmp_path):
    tms.script("fault:unknown-ids:1", "fault:http:500")
    out = tmp_path / "out.csv"
    command(fleet(["=1", *CIDS[:5]]), *GO, "--report", out)
    rows = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"))))
    assert sorted(row["customer_id"] for row in rows) == sorted(["'=1", *CIDS[:5]])
    assert Counter(row["outcome"] for row in rows) == {"accepted": 2, "unknown": 2, "rejected": 1, "unknown_to_tms": 1}


def refused(ended, tms, words):
    assert ended.code == 1
    assert words in ended.err
    assert "othing was sent" in ended.err
    assert tms.calls() == []
    assert not Batch.objects.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--yes", "--chunk=0"], "--chunk must be from 1 to"),
        (["--yes", "--chunk=6000"], "--chunk must be from 1 to"),
        (["--yes", "--workers=0"], "--workers must be from 1 to"),
        ([], "Give --yes"),
        (["--yes", "--confirm=9"], "9 is not the number of customers, which is 10"),
        (["--yes", "--token-file=/nonexistent"], "The token file cannot be read"),
        (["--yes", "--report=/nonexistent/out.csv"], "The report cannot be written"),
    ],
)
def test_wrong_options_send_nothing(options, words, fleet, tms):
    ended = command(fleet(), *options)
    assert (ended.code, tms.calls(), Batch.objects.exists()) == (1, [], False)
    assert words in ended.err


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"cluster": "evian4"}, "This cluster is not known. Known are"),
        ({"action": "Explode"}, "This action is not known. Known are Trans-Begin"),
        ({"cluster": None}, "There is no cluster. Give --cluster"),
        ({"action": None}, "There is no action. Give --action"),
        ({"user": "nobody"}, "There is no active user nobody"),
    ],
)
def test_wrong_names_send_nothing(names, words, fleet, tms):
    refused(command(fleet(), "--yes", **names), tms, words)


def test_neither_auditors_nor_inactive_users_are_served(fleet, tms, audrey, olivia):
    refused(command(fleet(), "--yes", user="audrey"), tms, "may not trigger Set Actions")
    get_user_model().objects.filter(username="olivia").update(is_active=False)
    refused(command(fleet(), "--yes"), tms, "There is no active user olivia")


def test_without_a_token_nothing_is_sent(fleet, tms, monkeypatch):
    monkeypatch.delenv("TMS_TOKEN")
    refused(command(fleet(), "--yes"), tms, "A token is needed")


def test_the_token_among_the_ids_is_found_before_anything_is_sent(fleet, tms):
    refused(command(fleet([*CIDS, TOKEN]), "--yes"), tms, "The bearer token stands among the customer ids")


def test_a_missing_file_is_said_to_be_missing(tmp_path, tms):
    refused(command(tmp_path / "none.csv", "--yes"), tms, "The file cannot be read: No such file")
    refused(command(tmp_path, "--yes"), tms, "The file cannot be read: Is a directory")


def test_a_server_in_passive_mode_sends_nothing(fleet, tms, settings):
    settings.TMS_PASSIVE = True
    ended = command(fleet(), "--yes")
    assert (ended.code, tms.calls()) == (1, [])
    assert "passive mode" in ended.err


@pytest.mark.parametrize("changes", [{"TMS_PRODUCTION_CLUSTERS": ["evian3"]}, {"TMS_CONFIRM_ABOVE": 10}])
def test_the_number_of_customers_is_asked_for(changes, fleet, tms, settings, monkeypatch):
    for name, value in changes.items():
        setattr(settings, name, value)
    refused(command(fleet(), "--yes"), tms, "Give --confirm 10")
    assert command(fleet(), *GO, "--confirm=10").code == 0


def test_errors_are_json_where_that_is_asked_for(fleet):
    ended = command(fleet(["a b", "c d"]), *GO)
    found = ended.json
    assert (ended.code, found["status"], found["error_count"], found["exit_code"]) == (1, "error", 2, 1)
    assert found["errors"][0].startswith("Line 2:")
    assert command(fleet(), *GO, user="nobody").json["error_count"] == 1


def test_a_dry_run_says_the_plan_and_sends_nothing(fleet, tms, settings):
    settings.TMS_PRODUCTION_CLUSTERS = ["evian3"]
    ended = command(fleet([*CIDS, CIDS[0]]), "--dry-run")
    assert (ended.code, tms.calls(), Batch.objects.exists()) == (0, [], False)
    assert "PE-Enable on evian3 (PRODUCTION): 10 customers in 5 calls of at most 2." in ended.out
    assert "1 repeats are left out" in ended.out
    assert command(fleet(), "--dry-run", "--json").json["parts"] == [
        {"cluster": "evian3", "action": "PE-Enable", "customers": 10}
    ]


def test_a_batch_goes_on_only_with_its_own_list_and_user(fleet, tms, oscar, monkeypatch):
    ended = command(fleet(), *GO)
    sent = len(tms.calls())
    other = again(fleet(CIDS[:9]), ended, monkeypatch)
    assert (other.code, other.json["errors"][0][:44]) == (1, "The batch with this id was given another lis")
    foreign = command(fleet(), *GO, "--batch-id", ended.json["batch_id"], user="oscar")
    assert (foreign.code, "another user's" in foreign.json["errors"][0]) == (1, True)
    assert len(tms.calls()) == sent


def test_the_same_list_again_is_noticed(fleet, tms, monkeypatch):
    ended = command(fleet(), *GO)
    assert f"was given to batch {ended.json['batch_id']}" in command(fleet(), "--dry-run").out


@pytest.mark.parametrize("point", ["batch: chunk claimed, nothing sent", "batch: attempt over, not in the ledger"])
def test_a_command_that_dies_is_gone_on_with_and_nothing_is_sent_twice(point, fleet, tms, monkeypatch):
    file, batch_id = fleet(), uuid.uuid4()
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with dying_at(point):
        command(file, *GO, "--batch-id", batch_id)
    monkeypatch.setenv("TMS_TOKEN", TOKEN)
    ended = command(file, *GO, "--batch-id", batch_id)
    assert (ended.code, ended.json["counts"]["accepted"]) == (0, 10)
    assert set(sent(tms).values()) == {1}
    assert set(Counter(JobCustomer.objects.values_list("cid", flat=True)).values()) == {1}


# -- As a process of its own ------------------------------------------------------------------------------------------


def start(file, tms, *more, stdin=subprocess.DEVNULL):
    line = [sys.executable, "manage.py", "set_action_batch", str(file), "--user=olivia", "--cluster=evian3"]
    environment = environment_of_process(tms, django_settings.VAR_DIR) | {
        "TMS_TOKEN": TOKEN,
        "TMS_BATCH_CHUNK": "2",
        "TMS_BATCH_CALLS": "1",
    }
    return subprocess.Popen(
        [*line, "--action=PE-Enable", *GO, *more],
        cwd=django_settings.BASE_DIR,
        env=environment,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_command_finishes_its_call_and_says_how_to_go_on(number, fleet, tms, monkeypatch):
    tms.script("", "fault:slow:3600")
    file = fleet()
    process = start(file, tms)
    tms.wait_for(lambda calls: len(calls) == 2)
    process.send_signal(number)
    process.send_signal(number)
    for line in process.stderr:
        if "Finishing the running calls" in line:
            break
    tms.release()
    out, _ = process.communicate(timeout=60)
    found = json.loads(out)
    assert (process.returncode, found["state"], found["counts"]["accepted"]) == (2, "stopped", 4)
    assert "Interrupted" in found["reason"]
    assert found["batch_id"] in found["resume"]
    ended = command(file, *GO, "--batch-id", found["batch_id"])
    assert (ended.code, ended.json["counts"]["accepted"], len(tms.calls())) == (0, 10, 5)


def test_a_killed_command_leaves_what_it_was_sending_unknown(fleet, tms):
    tms.script("", "fault:slow:3600")
    file, batch_id = fleet(), uuid.uuid4()
    process = start(file, tms, f"--batch-id={batch_id}")
    tms.wait_for(lambda calls: len(calls) == 2)
    process.kill()
    process.communicate()
    ended = command(file, *GO, "--batch-id", batch_id)
    assert (ended.code, ended.json["counts"]["unknown"], ended.json["counts"]["accepted"]) == (3, 2, 8)
    tms.release()
    assert set(sent(tms).values()) == {1}


def test_standard_input_is_read(tms, tmp_path):
    process = start("-", tms, stdin=subprocess.PIPE)
    out, _ = process.communicate("\n".join(CIDS), timeout=60)
    assert (process.returncode, json.loads(out)["counts"]["accepted"]) == (0, 10)


def test_the_token_is_nowhere_but_in_memory(fleet, tms, tmp_path):
    process = start(fleet(), tms, f"--report={tmp_path / 'out.csv'}")
    assert TOKEN not in Path(f"/proc/{process.pid}/cmdline").read_text()
    said = "".join(process.communicate(timeout=60))
    assert TOKEN not in said + (tmp_path / "out.csv").read_text()
    rows = [*Batch.objects.values_list(), *BatchChunk.objects.values_list(), *AuditEntry.objects.values_list()]
    assert TOKEN not in str(rows)


# -- A fleet ----------------------------------------------------------------------------------------------------------


class Stub(BaseHTTPRequestHandler):
    """A TMS that accepts everything and shares no code with the product."""

    seen: Counter[str]

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        for cid in json.loads(self.rfile.read(length))["cids"]:
            self.seen[cid] += 1
        answer = b'{"success": true}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        """Say nothing."""


def test_a_fleet_is_applied_exactly_once(fleet, settings):
    class Counting(Stub):
        seen = Counter()

    with ThreadingHTTPServer(("127.0.0.1", 0), Counting) as server:
        threading.Thread(target=server.serve_forever).start()
        settings.TMS_CLUSTERS = {"evian3": f"http://127.0.0.1:{server.server_port}"}
        cids = [f"{number:032x}" for number in range(27_682)]
        ended = command(fleet(cids), *GO, "--chunk=500", "--confirm=27682")
        server.shutdown()
    assert ended.code == 0
    assert (Counting.seen, len(ended.json["job_ids"])) == (Counter(cids), 56)
    assert Job.objects.filter(batch_id=ended.json["batch_id"]).count() == 56
