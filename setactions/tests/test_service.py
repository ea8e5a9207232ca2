"""The service when databases fail, before the call and after it, and when there is no room."""

import logging
import shutil
import sqlite3
import threading
import uuid
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from django.db import DatabaseError, connections

from audit.models import Attempt, AuditEntry, Outcome
from jobs import services as jobs
from jobs.models import Job
from setactions import recording, service, tms_client
from setactions.cids import from_json
from setactions.clusters import cluster_named
from setactions.room import call_slot
from setactions.submission import make_submission
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN

WAIT_S = 10


@pytest.fixture
def carry_out(tms, olivia):
    """Carry out PE-Enable for two customers as olivia."""

    def run(*, cids=("a1", "b2"), token=TOKEN, attempt_id=None, user=olivia, **kwargs):
        submission = make_submission(cluster_named("evian3"), "PE-Enable", from_json(list(cids)))
        return service.set_action(
            user=user,
            submission=submission,
            token=Token(token),
            source="command",
            ip_address="",
            attempt_id=attempt_id,
            **kwargs,
        )

    return run


@pytest.fixture
def quick(monkeypatch):
    """Short waits for locks, so that tests of waits in vain are quick."""
    monkeypatch.setattr(service, "BEFORE_CALL_WAIT_S", 0.2)
    monkeypatch.setattr(recording, "AFTER_REPLY_WAIT_S", 0.4)
    monkeypatch.setattr(recording, "AUDIT_SHARE_S", 0.1)


@contextmanager
def locked(alias):
    """Hold the write lock of a SQLite database as another process would."""
    other = sqlite3.connect(connections[alias].settings_dict["NAME"], isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@contextmanager
def read_only(alias):
    connections[alias].ensure_connection()
    connections[alias].connection.execute("PRAGMA query_only = 1")
    try:
        yield
    finally:
        connections[alias].close()


def after_reply(monkeypatch, action):
    """Run `action` when TMS has answered and nothing has been written yet."""
    original = tms_client.set_action

    def call_then_act(*args):
        reply = original(*args)
        action()
        return reply

    monkeypatch.setattr(tms_client, "set_action", call_then_act)


def kinds(attempt_id):
    return list(AuditEntry.objects.filter(attempt_id=attempt_id).order_by("id").values_list("kind", flat=True))


@pytest.mark.sqlite
@pytest.mark.parametrize("fault", [locked, read_only])
@pytest.mark.parametrize("alias", ["audit", "jobs"])
def test_nothing_is_sent_while_a_database_cannot_be_written(carry_out, tms, quick, alias, fault):
    with fault(alias):
        result = carry_out()
    assert (result.outcome, result.refusal_code, result.job_id) == (Outcome.REFUSED, 503, None)
    assert alias in result.message
    assert tms.calls() == []
    assert not AuditEntry.objects.exclude(kind="REFUSED").exists()
    assert carry_out().outcome == Outcome.ACCEPTED  # and afterwards all is well


def test_nothing_is_sent_when_the_disk_is_nearly_full(carry_out, tms, monkeypatch):
    monkeypatch.setattr(jobs, "MIN_FREE_BYTES", 1 << 62)
    if connections["jobs"].vendor == "sqlite":
        assert carry_out().refusal_code == 503
        assert tms.calls() == []
    else:
        assert carry_out().outcome == Outcome.ACCEPTED  # the disk of a database server is not ours to see


@pytest.mark.sqlite
def test_an_accepted_action_whose_job_cannot_be_written_is_accepted_and_owes_it(
    carry_out, tms, quick, monkeypatch, caplog
):
    with pytest.MonkeyPatch.context() as patch, _lock_after_reply(patch, "jobs"):
        result = carry_out()
    assert (result.outcome, result.job_recorded, result.job_id) == (Outcome.ACCEPTED, False, result.attempt_id)
    assert "being recorded" in result.explanation
    assert kinds(result.attempt_id) == ["INTENT", "ACCEPTED"]
    attempt = Attempt.objects.get(attempt_id=result.attempt_id)
    assert (attempt.is_open, attempt.job_owed, attempt.has_job) == (True, True, False)
    assert "WARNING: job creation failed" in caplog.text
    assert [record.levelno for record in caplog.records if "not recorded yet" in record.message] == [logging.CRITICAL]


@contextmanager
def _lock_after_reply(patch, alias):
    other = sqlite3.connect(connections[alias].settings_dict["NAME"], isolation_level=None, check_same_thread=False)
    after_reply(patch, lambda: other.execute("BEGIN IMMEDIATE"))
    try:
        yield
    finally:
        other.close()


@pytest.mark.sqlite
def test_a_job_is_written_as_soon_as_a_short_lock_ends(carry_out, tms, monkeypatch):
    path = connections["jobs"].settings_dict["NAME"]
    locked_now, release = threading.Event(), threading.Event()

    def other_process():
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        locked_now.set()
        release.wait(WAIT_S)
        other.close()

    thread = threading.Thread(target=other_process)

    def lock_for_a_moment():
        thread.start()
        locked_now.wait(WAIT_S)
        threading.Timer(0.3, release.set).start()

    after_reply(monkeypatch, lock_for_a_moment)
    result = carry_out()
    thread.join()
    assert (result.outcome, result.job_recorded) == (Outcome.ACCEPTED, True)
    assert kinds(result.attempt_id) == ["INTENT", "ACCEPTED", "RECORDED"]


@pytest.mark.sqlite
def test_an_audit_that_fails_after_the_reply_does_not_cost_the_job(carry_out, tms, quick, caplog):
    with pytest.MonkeyPatch.context() as patch, _lock_after_reply(patch, "audit"):
        result = carry_out()
    assert (result.outcome, result.job_recorded) == (Outcome.ACCEPTED, True)
    assert Job.objects.get().job_id == result.attempt_id
    assert kinds(result.attempt_id) == ["INTENT"]
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


def test_the_answer_that_step_4_missed_is_written_with_recorded(carry_out, tms, monkeypatch):
    original, failures = service.audit.record_events, iter([DatabaseError("no")])

    def fail_once(*args, **kwargs):
        for error in failures:
            raise error
        return original(*args, **kwargs)

    monkeypatch.setattr(service.audit, "record_events", fail_once)
    result = carry_out()
    assert kinds(result.attempt_id) == ["INTENT", "ACCEPTED", "RECORDED"]
    assert Attempt.objects.get().http_status == 200


def test_a_job_whose_first_insert_fails_is_inserted_again(carry_out, tms, monkeypatch):
    original, failures = jobs.create_job, iter([DatabaseError("disk I/O error"), RuntimeError("a bug")])

    def fail_twice(**kwargs):
        job = original(**kwargs)
        for error in failures:
            raise error
        return job

    monkeypatch.setattr(jobs, "create_job", fail_twice)
    result = carry_out()
    assert result.job_recorded
    assert Job.objects.get().customers.count() == 2


def test_no_content_of_an_answer_decides_whether_it_is_recorded(carry_out, tms, monkeypatch):
    """Should TMS's JSON ever be what a database does not take, it is done without."""
    original = tms_client.set_action

    def with_unstorable_data(*args):
        reply = original(*args)
        reply.data["x"] = float("inf")
        return reply

    monkeypatch.setattr(tms_client, "set_action", with_unstorable_data)
    result = carry_out()
    assert (result.outcome, result.job_recorded) == (Outcome.ACCEPTED, True)
    assert kinds(result.attempt_id) == ["INTENT", "ACCEPTED", "RECORDED"]
    assert Job.objects.get().customers.count() == 2


@pytest.mark.sqlite
@pytest.mark.parametrize("alias", ["audit", "jobs"])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_database_whose_file_was_moved_away_is_noticed(carry_out, tms, tmp_path, alias, replaced):
    assert carry_out(cids=["before"]).job_recorded
    path = Path(connections[alias].settings_dict["NAME"])
    connections[alias].connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    files = list(path.parent.glob(f"{path.name}*"))
    for file in files:
        file.rename(tmp_path / file.name)
    if replaced:  # as a restore does, under a connection that is still open
        shutil.copy(tmp_path / path.name, path)
    try:
        result = carry_out(cids=["during"])
        assert path.exists() == replaced  # no empty file was made in its place
        if replaced:
            assert result.job_recorded
            with closing(sqlite3.connect(path)) as restored:
                table = {"audit": "audit_attempt", "jobs": "jobs_job"}[alias]
                assert restored.execute(f"SELECT count(*) FROM {table}").fetchone() == (2,)
        else:
            assert result.refusal_code == 503
            assert len(tms.calls()) == 1
    finally:
        connections[alias].close()
        for file in files:
            (tmp_path / file.name).rename(file)


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
    assert kinds(result.attempt_id) == ["INTENT", "ACCEPTED", "RECORDED"]


def test_a_transaction_that_cannot_begin_sends_nothing(carry_out, tms, monkeypatch):
    def broken(using):
        raise DatabaseError("no connection")

    monkeypatch.setattr(service, "transaction_around_call", broken)
    result = carry_out()
    assert result.outcome == Outcome.NOT_SENT
    assert kinds(result.attempt_id) == ["INTENT", "NOT_SENT"]
    assert tms.calls() == []


def test_no_lock_is_held_while_tms_thinks(carry_out, tms, settings, olivia):
    """Others write to both databases while a call hangs; held locks would make them wait in vain."""
    settings.TMS_DEADLINE_S = WAIT_S

    def slow():
        try:
            carry_out(cids=["slow"], token="fault:slow:3600", user=olivia)
        finally:
            connections.close_all()

    thread = threading.Thread(target=slow)
    thread.start()
    tms.wait_for(lambda calls: len(calls) == 1, WAIT_S)
    try:
        for number in range(3):
            assert carry_out(cids=[f"quick-{number}"]).job_recorded
    finally:
        tms.release()
        thread.join()
    assert Job.objects.count() == 4


def test_above_the_cap_on_calls_in_flight_nothing_is_sent(carry_out, tms, settings):
    settings.TMS_MAX_IN_FLIGHT = 1
    key = uuid.uuid4()
    recorded = carry_out()
    with call_slot():
        result = carry_out(cids=["c3"], attempt_id=key)
        assert (result.outcome, result.refusal_code) == (Outcome.REFUSED, 503)
        # What is known already is told even then.
        assert carry_out(attempt_id=recorded.attempt_id).replayed
    assert len(tms.calls()) == 1
    assert carry_out(cids=["c3"], attempt_id=key).job_id == key


def test_the_token_among_the_ids_is_refused_and_not_kept(carry_out, tms):
    secret = "planted-secret-0123456789"
    for cid in (secret, f"x{secret}y"):
        result = carry_out(cids=["a1", cid], token=secret)
        assert result.refusal_code == 400
        assert secret not in "".join(AuditEntry.objects.values_list("body", flat=True))
    assert tms.calls() == []
    assert carry_out(cids=["abc", "a"], token="a-token").job_recorded  # short tokens hide in any id


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (
            TOKEN,
            [
                "Starting: user=olivia, action=PE-Enable, cid_count=2",
                "Logging audit:",
                "Creating job:",
                "SUCCESS: Job created with job_id=",
            ],
        ),
        ("fault:not-ready", ["INFO: API returned success=false, not creating job record. Error: TMS bootstrap"]),
        ("fault:http:500", ["FAILED:"]),
        ("fault:timeout", ["TIMEOUT:"]),
        ("fault:reset-before", ["REQUEST_ERROR:"]),
    ],
)
def test_the_log_has_the_words_that_operators_grep_for(carry_out, settings, caplog, token, words):
    settings.TMS_DEADLINE_S = 1
    caplog.set_level(logging.INFO)
    carry_out(token=token)
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("setactions")]
    assert all(line.startswith("[SET_ACTION] ") for line in lines)
    for word in words:
        assert any(f"[SET_ACTION] {word}" in line for line in lines)
    if token == TOKEN:
        assert "[JOBS] create_job: Successfully created job" in caplog.text


def test_no_message_of_tms_can_break_a_log_line(carry_out, caplog):
    caplog.set_level(logging.INFO)
    carry_out(token="fault:extra-accepted")
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("setactions")]
    assert any("<script>" in message for message in messages)
    assert all(message.isprintable() for message in messages)
