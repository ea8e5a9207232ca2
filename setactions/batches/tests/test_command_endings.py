"""How `manage.py set_action_batch` ends early, and goes on; as a process of its own; and with a whole fleet."""

import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
import uuid
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError

from audit.models import AuditEntry
from jobs import leases
from jobs.batches import ledger
from jobs.models import Batch, BatchChunk, Job, JobCustomer
from setactions.batches import foreground
from setactions.batches.tests.commanding import CIDS, GO, NAMED, command, go_on, sent, start
from setactions.resolving.tests.doubting import environment_of_process
from tmsdash.tests.fixtures import TOKEN
from tmsdash.tests.killing import dying_at
from tmsdash.tests.tools import heeding_signals, signals_of

pytestmark = [pytest.mark.usefixtures("ready"), pytest.mark.pages]


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
    output = json.loads(out)
    assert (process.returncode, output["state"], output["counts"]["accepted"]) == (2, "stopped", 4)
    assert "Interrupted" in output["reason"]
    assert output["batch_id"] in output["resume"]
    assert output["left"] == 6
    ended = command(file, *GO, "--batch-id", output["batch_id"])
    assert (ended.code, ended.json["counts"]["accepted"], len(tms.calls())) == (0, 10, 5)


@pytest.mark.linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_is_ignored_as_under_nohup_does_not_interrupt_it(number, fleet, tms):
    tms.script("", "fault:slow:3600")
    process = start(fleet(), tms, ignored=(number,))
    tms.wait_for(lambda calls: len(calls) == 2)
    assert number in signals_of(process.pid, "SigIgn")
    process.send_signal(number)
    tms.release()
    out, said = process.communicate(timeout=60)
    assert (process.returncode, json.loads(out)["counts"]["accepted"]) == (0, 10)
    assert "Finishing the running calls" not in said


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
    printed = "".join(process.communicate(timeout=60))
    assert TOKEN not in printed + (tmp_path / "out.csv").read_text()
    rows = [*Batch.objects.values_list(), *BatchChunk.objects.values_list(), *AuditEntry.objects.values_list()]
    assert TOKEN not in str(rows)


class Terminal:
    """A terminal at which the command runs, and what it has shown so far."""

    def __init__(self, file, tms, *more, **environment):
        self._end, other_end = pty.openpty()
        termios.tcsetwinsize(other_end, (24, 100))
        self.shown, self._looked_at = "", 0

        def become_its_session():
            heeding_signals()
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self._process = subprocess.Popen(
            [sys.executable, "manage.py", "set_action_batch", str(file), "--user=olivia", *NAMED, *more],
            cwd=django_settings.BASE_DIR,
            env=environment_of_process(tms, django_settings.VAR_DIR) | {"TMS_BATCH_CHUNK": "2"} | environment,
            stdin=other_end,
            stdout=other_end,
            stderr=other_end,
            preexec_fn=become_its_session,
        )
        os.close(other_end)

    def await_words(self, words):
        """Read on until these words are shown after those that were awaited before."""
        while words not in self.shown[self._looked_at :]:
            assert select.select([self._end], [], [], 60)[0], self.shown
            self.shown += os.read(self._end, 4096).decode()  # raises OSError at the end
        self._looked_at = self.shown.index(words, self._looked_at) + len(words)

    def type(self, text):
        os.write(self._end, f"{text}\n".encode())

    def end(self):
        """Return the exit code."""
        with suppress(OSError):  # how a terminal tells that nobody is left
            while data := os.read(self._end, 4096):
                self.shown += data.decode()
        os.close(self._end)
        return self._process.wait(60)


def test_at_a_terminal_it_asks_for_the_number_and_for_tokens_and_shows_how_far_it_is(fleet, tms):
    tms.script("", "fault:http:401")
    terminal = Terminal(fleet(), tms, TMS_BATCH_CALLS="1", TMS_CONFIRM_ABOVE="5")
    terminal.await_words("Type the number of customers (10) to go on:")
    terminal.type("10")
    terminal.await_words("Bearer token:")
    terminal.type(TOKEN)
    terminal.await_words("TMS does not accept the token")
    terminal.await_words("Bearer token:")
    terminal.type("another-token")
    code = terminal.end()
    assert code == 0, terminal.shown
    assert "10/10" in terminal.shown
    assert "Accepted: 10 of 10 customers." in terminal.shown
    assert TOKEN not in terminal.shown
    assert "another-token" not in terminal.shown
    assert "[SET_ACTION] Starting" not in terminal.shown  # it would break the bar


def test_ctrl_c_and_going_on_say_what_is_left_and_ask_for_its_number(fleet, tms):
    tms.script("", "fault:slow:3600")
    file = fleet()
    terminal = Terminal(file, tms, TMS_BATCH_CALLS="1", TMS_CONFIRM_ABOVE="5", TMS_TOKEN=TOKEN)
    terminal.await_words("Type the number of customers (10) to go on:")
    terminal.type("10")
    tms.wait_for(lambda calls: len(calls) == 2)
    terminal.type("\x03")
    terminal.await_words("Finishing the running calls")
    tms.release()
    assert terminal.end() == 2, terminal.shown
    assert "Left to send: 6 customers in 3 calls. To go on: " in " ".join(terminal.shown.split())
    more = ("--batch-id", str(Batch.objects.get().batch_id))
    terminal = Terminal(file, tms, *more, TMS_BATCH_CALLS="1", TMS_CONFIRM_ABOVE="5", TMS_TOKEN=TOKEN)
    terminal.await_words("PE-Enable on evian3: 6 customers left, in 3 calls.")
    terminal.await_words("In all 6 customers left of 10.")
    terminal.await_words("Type the number of customers (6) to go on:")
    terminal.type("6")
    assert terminal.end() == 0, terminal.shown
    assert "10 customers in 5 calls" not in terminal.shown
    assert set(sent(tms).values()) == {1}


def test_the_number_to_confirm_is_that_of_what_is_left(fleet, tms, settings, monkeypatch):
    settings.TMS_BATCH_CHUNK, settings.TMS_PRODUCTION_CLUSTERS = 4, ["evian3"]
    tms.script("", "fault:http:401")
    ended = command(file := fleet(), *GO, "--confirm=10", "--workers=1")
    assert (ended.json["counts"]["accepted"], ended.json["left"]) == (4, 6)
    for number in ((), ("--confirm=10",), ("--confirm=4",)):
        refused = go_on(file, ended, monkeypatch, *number)
        assert (refused.code, len(tms.calls())) == (1, 2)
        assert "6" in refused.out
    checked = go_on(file, ended, monkeypatch, "--dry-run")
    assert (checked.json["left"], checked.json["customers"]) == (6, 10)
    assert go_on(file, ended, monkeypatch, "--confirm=6").code == 0


def test_an_interruption_after_calls_never_says_that_nothing_was_sent(fleet, tms, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("setactions.management.commands.set_action_batch.Command._end", interrupt)
    ended = command(fleet(), *GO)
    assert (ended.code, "Nothing was sent" in ended.out, len(tms.calls())) == (3, False, 5)


def test_a_database_that_fails_after_calls_never_lets_it_say_that_nothing_was_sent(fleet, tms, monkeypatch):
    def fail(*_):
        raise OperationalError("disk I/O error")

    monkeypatch.setattr("setactions.management.commands.set_action_batch.Summary", fail)
    ended = command(fleet(), *GO)
    assert (ended.code, "Nothing was sent" in ended.out, len(tms.calls())) == (3, False, 5)
    assert "disk I/O error" in ended.json["errors"][0]


def test_a_batch_that_another_process_runs_is_left_as_it_is(fleet, tms, monkeypatch):
    ended = command(file := fleet(), *GO)
    batch = Batch.objects.get()
    BatchChunk.objects.filter(number=0).update(state=BatchChunk.State.NOT_SENT)
    assert ledger.lease(batch, "elsewhere:1.2:0123", 60)
    monkeypatch.setattr(foreground.time, "sleep", lambda _: leases.heartbeat(batch, "elsewhere:1.2:0123", 90))
    refused = go_on(file, ended, monkeypatch, "--send-again")
    assert (refused.code, len(tms.calls())) == (1, 5)
    assert "Another process is running this batch" in refused.json["errors"][0]
    assert batch.chunks.get(number=0).state == BatchChunk.State.NOT_SENT


@pytest.mark.parametrize(("answer", "code", "calls"), [("y", 0, 5), ("n", 1, 0), ("", 1, 0)])
def test_at_a_terminal_it_asks_for_a_yes(answer, code, calls, fleet, tms):
    terminal = Terminal(fleet(), tms, TMS_TOKEN=TOKEN)
    terminal.await_words("Go on? [y/N]")
    assert tms.calls() == []
    terminal.type(answer)
    assert terminal.end() == code, terminal.shown
    assert len([call for call in tms.calls() if call.method == "POST"]) == calls


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
