"""The judge sees what the protocol avoids: naive ways, killed at each step, break the promise; ours does not."""

import os
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
from django.core.management import call_command
from django.db import connections

from setactions.devtools.proofs.evidence import read_evidence
from setactions.devtools.proofs.judge import judge
from setactions.devtools.proofs.naive import EarlyAnswers, call_then_record, record_then_call
from setactions.devtools.proofs.steps import KilledError, each_step, killed_before
from setactions.inputs.ids import from_json
from setactions.payload import make_submission
from setactions.tms.clusters import cluster_named
from setactions.token import Token
from tmsdash.db.transactions import write_transaction
from tmsdash.tests.fixtures import TOKEN

pytestmark = [pytest.mark.sqlite, pytest.mark.usefixtures("databases")]
FAULTS = (
    TOKEN,
    "fault:not-ready",
    "fault:reset-after",
    "fault:reset-before",
    "fault:http:503",
    "fault:http-applied:500",
)


def submission(*cids):
    return make_submission(cluster_named("evian3"), "PE-Enable", from_json(list(cids)))


def customer(fault, step=0):
    return f"c{FAULTS.index(fault)}-{step}"


def judged(tms):
    files = [Path(connections[alias].settings_dict["NAME"]) for alias in ("jobs", "audit")]
    return judge(read_evidence(tms.calls(), *files))


def violated(judgement):
    return {kind for kind, cases in judgement.violations.items() if cases}


def killed_at_each_step(order):
    """Carry out `order` with each fault, killed at each of its steps, every time for a customer of its own."""
    for fault in FAULTS:
        assert each_step(lambda step, fault=fault: order(submission(customer(fault, step)), Token(fault))) > 10


def test_calling_first_loses_what_was_applied(tms):
    killed_at_each_step(call_then_record)
    judgement = judged(tms)
    assert violated(judgement) == {"lost", "unaudited"}
    assert all("no attempt" in case for case in judgement.violations["lost"])


def test_recording_first_leaves_jobs_of_what_never_happened(tms):
    killed_at_each_step(record_then_call)
    judgement = judged(tms)
    assert {"phantom"} <= violated(judgement) <= {"phantom", "unaudited"}  # a Job without an answer has no ground


@pytest.mark.parametrize("order", [call_then_record, record_then_call])
def test_the_naive_orders_are_right_as_long_as_nothing_dies(tms, order):
    for fault in (TOKEN, "fault:not-ready"):
        order(submission(customer(fault)), Token(fault))
    judgement = judged(tms)
    assert violated(judgement) == set()
    assert (judgement.facts["applied"], judgement.facts["jobs"], judgement.open) == (1, 1, [])


@contextmanager
def answering_early(monkeypatch):
    """The audit answers before it commits."""
    early = EarlyAnswers()
    monkeypatch.setattr("audit.services.write", early.write)
    monkeypatch.setattr("audit.services.write_later", lambda work, on_failure: early.write(work, 5))

    def carry_out_and_die(work):
        try:
            work()
        except BaseException:
            early.end(is_alive=False)
            raise
        early.end(is_alive=True)

    yield carry_out_and_die
    monkeypatch.undo()


def test_answering_before_the_commit_loses_what_was_applied(tms, carry_out, monkeypatch):
    with answering_early(monkeypatch) as alive_until:
        for fault in FAULTS:
            each_step(
                lambda step, fault=fault: alive_until(lambda: carry_out(cids=[customer(fault, step)], token=fault))
            )
    assert {"lost", "unaudited"} <= violated(judged(tms))


def test_answering_before_the_commit_is_right_as_long_as_nothing_dies(tms, carry_out, monkeypatch):
    with answering_early(monkeypatch) as alive_until:
        for fault in (TOKEN, "fault:not-ready"):
            alive_until(lambda fault=fault: carry_out(cids=[customer(fault)], token=fault))
    judgement = judged(tms)
    assert violated(judgement) == set()
    assert (judgement.facts["applied"], judgement.facts["jobs"], judgement.open) == (1, 1, [])


def test_the_service_loses_and_invents_nothing_whatever_step_it_dies_at(tms, carry_out, settings):
    for fault in FAULTS:
        assert each_step(lambda step, fault=fault: carry_out(cids=[customer(fault, step)], token=fault)) > 15
    judgement = judged(tms)
    assert violated(judgement) == set()
    assert judgement.facts["applied"] > judgement.facts["jobs"] > 0  # some died in between, and are open
    assert judgement.open

    settings.TMS_OPEN_AFTER_S = settings.TMS_READBACK_INTERVAL_S = 0
    with mock.patch.dict(os.environ, TMS_TOKEN=TOKEN):
        call_command("reconcile")
    after = judged(tms)
    assert (violated(after), after.open, after.passed) == (set(), [], True)
    assert after.facts["applied"] == after.facts["jobs"] == judgement.facts["applied"]


def test_dying_at_a_commit_leaves_nothing_of_the_transaction():
    def insert():
        with write_transaction("jobs"), connections["jobs"].cursor() as cursor:
            cursor.execute("CREATE TABLE left_behind (id int)")

    for step in (1, 2, 3):
        with pytest.raises(KilledError), killed_before(step):
            insert()
        connections["jobs"].close()
    assert "left_behind" not in connections["jobs"].introspection.table_names()
    with killed_before(4):
        insert()
    assert "left_behind" in connections["jobs"].introspection.table_names()
    with connections["jobs"].cursor() as cursor:
        cursor.execute("DROP TABLE left_behind")
