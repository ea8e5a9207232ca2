"""RECORDED, for which nobody waits: it is there soon, at the end of the process at the latest, or reconcile adds it."""

import subprocess
import sys
from contextlib import ExitStack

from django.conf import settings as django_settings
from django.db import connections

from audit import groups
from audit.actors import Actor
from audit.choices import Kind
from audit.models import Attempt, AuditEntry
from audit.proof.verification import verify
from audit.services import record_fact
from audit.tests.making import make_attempt
from setactions.recording import Recorder
from setactions.resolving.reconcile import reconcile
from setactions.resolving.tests.doubting import environment_of_process
from tmsdash.tests.tools import kinds_of, locked

ALL_KINDS = ["INTENT", "ACCEPTED", "RECORDED"]


def test_the_answer_does_not_wait_for_it_and_says_the_same(carry_out, monkeypatch):
    at_once = carry_out(cids=["a"])
    monkeypatch.setattr(groups, "see_to_flush", lambda: None)
    result = carry_out(cids=["b"])
    assert kinds_of(result.attempt_id) == ["INTENT", "ACCEPTED"]
    assert (result.outcome, result.job_recorded, result.explanation) == (
        at_once.outcome,
        at_once.job_recorded,
        at_once.explanation,
    )
    again = carry_out(cids=["b"], attempt_id=result.attempt_id)  # the Job is the evidence
    assert (again.outcome, again.job_recorded, again.replayed) == (result.outcome, True, True)
    record_fact(Kind.EXPORTED, {}, actor=Actor(user_id="x"), wait_s=5)
    assert kinds_of(result.attempt_id) == ALL_KINDS
    assert verify().is_whole


def test_if_the_process_dies_before_reconcile_adds_it(carry_out, monkeypatch):
    monkeypatch.setattr(groups, "see_to_flush", lambda: None)
    monkeypatch.setattr(groups, "_queue", groups.Queue())  # is gone with the process
    result = carry_out()
    monkeypatch.undo()
    assert reconcile(Actor(user_id="ops@host")).closed == 1
    assert kinds_of(result.attempt_id) == ALL_KINDS
    assert not Attempt.objects.get().is_open


def test_what_a_locked_audit_did_not_take_goes_on_in_the_background(carry_out, monkeypatch, unfinished, caplog):
    write_recorded = Recorder.write_recorded

    def write_while_it_is_locked(recorder):
        with locked("audit", "audit_auditentry"):
            write_recorded(recorder)

    monkeypatch.setattr(groups, "FLUSH_WAIT_S", 0.05)
    monkeypatch.setattr(Recorder, "write_recorded", write_while_it_is_locked)
    result = carry_out()
    assert (result.job_recorded, kinds_of(result.attempt_id)) == (True, ["INTENT", "ACCEPTED"])
    assert "the audit did not take RECORDED" in caplog.text
    [recorder] = unfinished
    assert not recorder.is_finished()
    monkeypatch.setattr("setactions.recording.FINISH_PAUSES_S", (0,))
    recorder._finish()
    assert recorder.is_finished()
    assert kinds_of(result.attempt_id) == ALL_KINDS


PROGRAM = """
import sys, uuid
import django
django.setup()
from concurrent.futures import ThreadPoolExecutor
from django.db import connections
from audit import groups
from audit.actors import Actor
from audit.services import record_fact, record_later
groups.LINGER_S = 3600  # only the end of the process is left
def write(number):
    for _ in range(10):
        record_fact("EXPORTED", {}, actor=Actor(user_id=sys.argv[1]), wait_s=60)
    connections.close_all()
print("ready", flush=True)
sys.stdin.read()
with ThreadPoolExecutor(8) as executor:
    list(executor.map(write, range(8)))
record_later(uuid.UUID(sys.argv[1]), [("RECORDED", {})], on_failure=print)
"""


def test_two_processes_make_one_chain_and_write_at_their_end_what_is_left(tms, tmp_path):
    attempts = [make_attempt(Kind.ACCEPTED, cids=[name]) for name in ("a", "b")]
    connections.close_all()
    environment = environment_of_process(tms, tmp_path) | {"DJANGO_SETTINGS_MODULE": "tmsdash.settings"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with ExitStack() as running:
        processes = [
            running.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", PROGRAM, str(attempt.attempt_id)],
                    env=environment,
                    cwd=django_settings.BASE_DIR,
                    **pipes,
                )
            )
            for attempt in attempts
        ]
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.close()
        assert [process.stdout.read() for process in processes] == ["", ""]
        assert [process.wait(120) for process in processes] == [0, 0]
    result = verify()
    assert (result.is_whole, result.entries) == (True, 2 * 2 + 2 * 8 * 10 + 2)
    assert [kinds_of(attempt.attempt_id) for attempt in attempts] == [ALL_KINDS] * 2
    writers = [*AuditEntry.objects.filter(kind="EXPORTED").order_by("sequence").values_list("user_id", flat=True)]
    assert set(writers) == {str(attempt.attempt_id) for attempt in attempts}
