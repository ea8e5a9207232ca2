"""The service after TMS answered: whatever fails then, an accepted action keeps its Job or owes it."""

import logging
import sqlite3
import threading
from contextlib import contextmanager

import pytest
from django.db import DatabaseError, connections

from audit.choices import Outcome
from audit.models import Attempt
from jobs import services as jobs
from jobs.models import Job
from setactions import service
from setactions.tms import client
from tmsdash.tests.tools import Gate, kinds_of, locked, threads


def after_reply(monkeypatch, action):
    """Run `action` when TMS has answered and nothing has been written yet."""
    original = client.set_action

    def call_then_act(*args):
        reply = original(*args)
        action()
        return reply

    monkeypatch.setattr(client, "set_action", call_then_act)


@contextmanager
def _lock_after_reply(patch, alias):
    other = sqlite3.connect(connections[alias].settings_dict["NAME"], isolation_level=None, check_same_thread=False)
    after_reply(patch, lambda: other.execute("BEGIN IMMEDIATE"))
    try:
        yield other
    finally:
        other.close()


@pytest.mark.sqlite
def test_an_accepted_action_whose_job_cannot_be_written_is_accepted_and_owes_it(
    carry_out, tms, quick, monkeypatch, caplog
):
    with pytest.MonkeyPatch.context() as patch, _lock_after_reply(patch, "jobs"):
        result = carry_out()
    assert (result.outcome, result.job_recorded, result.job_id) == (Outcome.ACCEPTED, False, result.attempt_id)
    assert "being recorded" in result.explanation
    assert kinds_of(result.attempt_id) == ["INTENT", "ACCEPTED"]
    attempt = Attempt.objects.get(attempt_id=result.attempt_id)
    assert (attempt.is_open, attempt.job_owed, attempt.has_job) == (True, True, False)
    assert "WARNING: job creation failed" in caplog.text
    assert [record.levelno for record in caplog.records if "not recorded yet" in record.message] == [logging.CRITICAL]


@pytest.mark.sqlite
def test_a_job_is_written_as_soon_as_a_short_lock_ends(carry_out, tms, monkeypatch):
    gate = Gate()

    def hold_lock():
        with locked("jobs", "jobs_job"):
            gate.enter()

    with threads() as submit:

        def lock_for_a_moment():
            submit(hold_lock)
            gate.await_entry()
            threading.Timer(0.3, gate.open).start()

        after_reply(monkeypatch, lock_for_a_moment)
        result = carry_out()
    assert (result.outcome, result.job_recorded) == (Outcome.ACCEPTED, True)
    assert kinds_of(result.attempt_id) == ["INTENT", "ACCEPTED", "RECORDED"]


@pytest.mark.sqlite
def test_an_audit_that_fails_after_the_reply_does_not_cost_the_job(carry_out, tms, quick, caplog):
    with pytest.MonkeyPatch.context() as patch, _lock_after_reply(patch, "audit"):
        result = carry_out()
    assert (result.outcome, result.job_recorded) == (Outcome.ACCEPTED, True)
    assert Job.objects.get().job_id == result.attempt_id
    assert kinds_of(result.attempt_id) == ["INTENT"]
    assert any(record.levelno == logging.CRITICAL for record in caplog.records)
    again = carry_out(attempt_id=result.attempt_id)  # the Job is the evidence
    assert (again.outcome, again.job_recorded, again.replayed) == (Outcome.ACCEPTED, True, True)
    assert len(tms.calls()) == 1


@pytest.mark.sqlite
def test_a_rejection_that_the_audit_did_not_take_is_told_all_the_same(carry_out, tms, quick):
    with pytest.MonkeyPatch.context() as patch, _lock_after_reply(patch, "audit"):
        result = carry_out(token="fault:not-ready")
    assert (result.outcome, result.job_id) == (Outcome.REJECTED, None)
    assert Attempt.objects.get().is_open


@pytest.mark.sqlite
@pytest.mark.parametrize("fault", ["fault:not-ready", "fault:http:500"])
def test_an_outcome_outlives_a_short_lock_of_the_audit(carry_out, tms, monkeypatch, fault):
    """Longer than what an accepted action gives the audit, whose Job must not wait."""
    with pytest.MonkeyPatch.context() as patch, _lock_after_reply(patch, "audit") as other:
        release = threading.Timer(2, lambda: other.execute("ROLLBACK"))
        release.start()
        result = carry_out(token=fault)
        release.join()
    assert kinds_of(result.attempt_id) == ["INTENT", result.outcome.name]


def test_a_failure_of_ours_after_sending_is_unknown_and_never_not_sent(carry_out, tms, monkeypatch):
    def fail(*args):
        raise MemoryError

    monkeypatch.setattr(client, "classify", fail)
    result = carry_out()
    assert tms.calls()[0].applied
    assert (result.outcome, result.job_id) == (Outcome.UNKNOWN, None)
    assert kinds_of(result.attempt_id) == ["INTENT", "UNKNOWN"]
    assert Attempt.objects.get().is_open


def test_the_answer_that_step_4_missed_is_written_with_recorded(carry_out, tms, monkeypatch):
    original, failures = service.audit.record_events, iter([DatabaseError("no")])

    def fail_once(*args, **kwargs):
        for error in failures:
            raise error
        return original(*args, **kwargs)

    monkeypatch.setattr(service.audit, "record_events", fail_once)
    result = carry_out()
    assert kinds_of(result.attempt_id) == ["INTENT", "ACCEPTED", "RECORDED"]
    assert Attempt.objects.get().http_status == 200


def test_a_job_whose_first_insert_fails_is_inserted_again(carry_out, tms, monkeypatch):
    original, failures = jobs.insert_job, iter([DatabaseError("disk I/O error"), RuntimeError("a bug")])

    def fail_twice(job):
        original(job)
        for error in failures:
            raise error

    monkeypatch.setattr(jobs, "insert_job", fail_twice)
    result = carry_out()
    assert result.job_recorded
    assert Job.objects.get().customers.count() == 2


def test_no_content_of_an_answer_decides_whether_it_is_recorded(carry_out, tms, monkeypatch):
    """Should TMS's JSON ever be what a database does not take, it is done without."""
    original = client.set_action

    def with_unstorable_data(*args):
        reply = original(*args)
        reply.data["x"] = float("inf")
        return reply

    monkeypatch.setattr(client, "set_action", with_unstorable_data)
    result = carry_out()
    assert (result.outcome, result.job_recorded) == (Outcome.ACCEPTED, True)
    assert kinds_of(result.attempt_id) == ["INTENT", "ACCEPTED", "RECORDED"]
    assert Job.objects.get().customers.count() == 2


def test_a_commit_that_worked_although_it_reported_an_error_makes_no_second_job(carry_out, tms, monkeypatch):
    original = service.transaction_around_call

    @contextmanager
    def commit_then_fail(using):
        with original(using) as after_answer:
            yield after_answer
        raise DatabaseError("the connection broke while the commit was answered")

    monkeypatch.setattr(service, "transaction_around_call", commit_then_fail)
    result = carry_out()
    assert result.job_recorded
    assert Job.objects.count() == 1
    assert kinds_of(result.attempt_id) == ["INTENT", "ACCEPTED", "RECORDED"]


def test_a_transaction_that_cannot_begin_sends_nothing(carry_out, tms, monkeypatch):
    def broken(using):
        raise DatabaseError("no connection")

    monkeypatch.setattr(service, "transaction_around_call", broken)
    result = carry_out()
    assert result.outcome == Outcome.NOT_SENT
    assert kinds_of(result.attempt_id) == ["INTENT", "NOT_SENT"]
    assert tms.calls() == []
