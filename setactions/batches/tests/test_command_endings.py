"""How `manage.py set_action_batch` ends early, and goes on; as a process of its own; and with a whole fleet."""

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

from audit.models import AuditEntry
from jobs.models import Batch, BatchChunk, Job, JobCustomer
from setactions.batches.tests.commanding import CIDS, GO, command, sent
from setactions.tests.doubting import environment_of_process
from tmsdash.tests.fixtures import TOKEN
from tmsdash.tests.killing import dying_at

pytestmark = pytest.mark.usefixtures("ready")


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
