"""The service before it sends anything: databases that fail, no room, tokens in the wrong place; and what it logs."""

import logging
import shutil
import sqlite3
import time
import uuid
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from django.db import connections

from audit.choices import Outcome
from audit.models import Attempt, AuditEntry
from jobs.models import Job
from setactions import limits
from setactions.limits import call_slot
from setactions.refusal import Refusal
from tmsdash.server import shared
from tmsdash.server.shared import Cell
from tmsdash.tests.fixtures import TOKEN
from tmsdash.tests.tools import WAIT_S, locked, threads

TABLES = {"audit": "audit_attempt", "jobs": "jobs_job"}


def locked_elsewhere(alias):
    return locked(alias, TABLES[alias])


@contextmanager
def read_only(alias):
    connections[alias].ensure_connection()
    connections[alias].connection.execute("PRAGMA query_only = 1")
    try:
        yield
    finally:
        connections[alias].close()


@pytest.mark.sqlite
@pytest.mark.parametrize("fault", [locked_elsewhere, read_only])
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
    monkeypatch.setattr("tmsdash.db.transactions.MIN_FREE_BYTES", 1 << 62)
    if connections["jobs"].vendor == "sqlite":
        assert carry_out().refusal_code == 503
        assert tms.calls() == []
    else:
        assert carry_out().outcome == Outcome.ACCEPTED  # the disk of a database server is not ours to see


@pytest.mark.sqlite
@pytest.mark.parametrize("alias", ["audit", "jobs"])
@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize("only_read", [False, True])
def test_a_database_whose_file_was_moved_away_is_noticed(carry_out, tms, tmp_path, alias, replaced, only_read):
    assert carry_out(cids=["before"]).job_recorded
    if only_read:  # a connection that was opened by a page
        connections[alias].close()
        del connections[alias]
        assert (Job if alias == "jobs" else Attempt).objects.count() == 1
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
                assert restored.execute(f"SELECT count(*) FROM {TABLES[alias]}").fetchone() == (2,)
        else:
            assert result.refusal_code == 503
            assert len(tms.calls()) == 1
    finally:
        connections[alias].close()
        for file in files:
            (tmp_path / file.name).rename(file)


def test_no_lock_is_held_while_tms_thinks(carry_out, tms, settings, olivia):
    """Others write to both databases while a call hangs; held locks would make them wait in vain."""
    settings.TMS_DEADLINE_S = WAIT_S
    with threads() as submit:
        submit(carry_out, cids=["slow"], token="fault:slow:3600", user=olivia)
        tms.wait_for(lambda calls: len(calls) == 1, WAIT_S)
        try:
            for number in range(3):
                assert carry_out(cids=[f"quick-{number}"]).job_recorded
        finally:
            tms.release()
    assert Job.objects.count() == 4


@pytest.mark.parametrize("limit", ["TMS_MAX_IN_FLIGHT", "CALLS_PER_WORKER"])
def test_above_the_cap_on_calls_in_flight_nothing_is_sent(carry_out, tms, settings, limit):
    setattr(settings, limit, 1)
    key = uuid.uuid4()
    recorded = carry_out()
    with call_slot():
        result = carry_out(cids=["c3"], attempt_id=key)
        assert (result.outcome, result.refusal_code) == (Outcome.REFUSED, 503)
        # What is known already is told even then.
        assert carry_out(attempt_id=recorded.attempt_id).replayed
    assert len(tms.calls()) == 1
    assert carry_out(cids=["c3"], attempt_id=key).job_id == key


def test_what_waited_for_a_server_to_begin_gets_room_once_there_is_some(settings, monkeypatch):
    settings.TMS_MAX_IN_FLIGHT = settings.CALLS_PER_WORKER = 1
    monkeypatch.setattr(shared, "joined_at", time.monotonic())
    taken = ExitStack()
    taken.enter_context(call_slot())
    monkeypatch.setattr(limits, "LOOK_S", 0)
    monkeypatch.setattr(limits, "take_place", lambda *some: shared.take_place(*some) or taken.close())  # done meanwhile
    with call_slot():
        assert shared.mine[Cell.CALLS] == 1
        monkeypatch.setattr(limits, "PATIENCE_S", 0)
        with pytest.raises(Refusal), call_slot():
            pass


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
    settings.TMS_DEADLINE_S = 1 if token == "fault:timeout" else 30
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
