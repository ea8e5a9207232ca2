"""Databases that are locked, read-only, full or gone, before anything is sent and after TMS answered.

Before: nothing is sent, and the user is told so. After: the action stays accepted, and once the fault
is over `reconcile` finishes. The faults are SQLite's own, and outlive a reconnect, as real ones do.
"""

import shutil
import sqlite3
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from django.db import DatabaseError, connections
from django.db.backends.signals import connection_created

from audit.actors import Actor
from audit.choices import Outcome
from audit.models import Attempt
from jobs.models import Job
from setactions.devtools.proofs.evidence import read_evidence
from setactions.devtools.proofs.judge import judge
from setactions.resolving.reconcile import reconcile
from setactions.tests.test_recording import after_reply
from setactions.token import Token
from tmsdash.db import writability
from tmsdash.tests.fixtures import TOKEN

pytestmark = pytest.mark.sqlite
CIDS = tuple(f"{number:032x}" for number in range(3000))  # more than fits into what is left of a full file
OPERATIONS = Actor(user_id="ops@host")
MEBIBYTE = 1 << 20


def file_of(alias):
    return Path(connections[alias].settings_dict["NAME"])


@contextmanager
def _locked(alias):
    other = sqlite3.connect(file_of(alias), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.close()


@contextmanager
def _pragma(alias, statement):
    """Run a PRAGMA on the connection, and on those that take its place."""

    def run(connection, **kwargs):
        if connection.alias == alias:
            connection.connection.execute(statement)

    connections[alias].ensure_connection()
    run(connections[alias])
    connection_created.connect(run)
    yield
    connection_created.disconnect(run)
    connections[alias].close()


def _read_only(alias):
    return _pragma(alias, "PRAGMA query_only = 1")


def _full(alias):
    other = sqlite3.connect(file_of(alias), isolation_level=None)
    other.execute("VACUUM")  # what earlier tests left free would not be full
    pages = other.execute("PRAGMA page_count").fetchone()[0]
    other.close()
    return _pragma(alias, f"PRAGMA max_page_count = {pages}")


@contextmanager
def _missing(alias):
    file = file_of(alias)
    away = file.with_suffix(".away")
    connections[alias].close()
    file.rename(away)
    yield
    connections[alias].close()
    assert not file.exists()  # a new, empty database in its place would take writes and lose them
    away.rename(file)


FAULTS = {"locked": _locked, "read-only": _read_only, "full": _full, "missing": _missing}
by_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
# What fits into the last page of a full file is still written: one event, but not a list.
without_full = pytest.mark.parametrize("fault", [FAULTS[name] for name in FAULTS if name != "full"])
by_alias = pytest.mark.parametrize("alias", ["jobs", "audit"])


@pytest.fixture(autouse=True)
def soon(settings, quick, monkeypatch):
    """Every attempt is old enough to be judged, and a proof that a database takes writes is too old at once."""
    settings.TMS_OPEN_AFTER_S = settings.TMS_READBACK_INTERVAL_S = 0
    monkeypatch.setattr(writability, "PROVEN_FOR_S", -1)


def assert_promise_kept(tms, calls):
    connections.close_all()
    report = reconcile(OPERATIONS, Token(TOKEN))
    assert (report.need_token, report.need_person) == ([], [])
    sent = [call for call in tms.calls() if call.method == "POST"]
    assert len(sent) == calls
    assert Job.objects.count() == sum(call.applied for call in sent)
    verdict = judge(read_evidence(tms.calls(), file_of("jobs"), file_of("audit")))
    assert verdict.passed, verdict


# A full jobs database still has room for the small job that proves it writable: its disk's free space is asked for.
@pytest.mark.parametrize(
    ("alias", "fault"),
    [(alias, fault) for alias in ("jobs", "audit") for fault in FAULTS if (alias, fault) != ("jobs", "full")],
)
def test_a_database_that_cannot_be_written_before_the_call_keeps_anything_from_being_sent(carry_out, tms, fault, alias):
    carry_out(cids=["before"])
    with FAULTS[fault](alias):
        result = carry_out(cids=CIDS)
    assert (result.outcome, result.refusal_code, result.job_id) == (Outcome.REFUSED, 503, None)
    assert "nothing was sent" in result.message
    assert_promise_kept(tms, calls=1)


@by_alias
@by_fault
@pytest.mark.parametrize(("token", "outcome"), [(TOKEN, Outcome.ACCEPTED), ("fault:not-ready", Outcome.REJECTED)])
def test_a_database_that_cannot_be_written_after_the_answer_changes_nothing_of_it(
    carry_out, tms, fault, alias, token, outcome
):
    with pytest.MonkeyPatch.context() as patch:
        state = {}

        def strike():
            state["fault"] = fault(alias)
            state["fault"].__enter__()

        after_reply(patch, strike)
        result = carry_out(cids=CIDS, token=token)
        state["fault"].__exit__(None, None, None)
    assert result.outcome == outcome
    assert result.job_recorded is (outcome == Outcome.ACCEPTED and alias == "audit")
    assert_promise_kept(tms, calls=1)


@without_full
def test_both_databases_at_once_leave_an_answer_to_be_found_out(carry_out, tms, fault):
    with pytest.MonkeyPatch.context() as patch:
        state = []

        def strike():
            state.extend(fault(alias) for alias in ("jobs", "audit"))
            for one in state:
                one.__enter__()

        after_reply(patch, strike)
        result = carry_out(cids=CIDS)
        for one in state:
            one.__exit__(None, None, None)
    assert (result.outcome, result.job_recorded) == (Outcome.ACCEPTED, False)
    assert Attempt.objects.get().outcome == Outcome.PENDING
    assert_promise_kept(tms, calls=1)


@by_alias
@without_full
def test_reconcile_fails_as_a_whole_while_a_database_cannot_be_written_and_finishes_later(
    carry_out, tms, monkeypatch, fault, alias
):
    monkeypatch.setattr("setactions.resolving.roll_forward.BUSY_TIMEOUT_S", 0.2)
    with pytest.MonkeyPatch.context() as patch:
        lock = _locked("jobs")
        after_reply(patch, lock.__enter__)
        carry_out(cids=CIDS)
        lock.__exit__(None, None, None)
    with fault(alias), pytest.raises(DatabaseError):
        reconcile(OPERATIONS)
    assert_promise_kept(tms, calls=1)


# -- A disk that is really full -------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a few MiB, which only root can make."""
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", tmp_path], check=True)
    yield tmp_path
    connections["audit"].close()
    subprocess.run(["/bin/umount", "--lazy", tmp_path], check=True)


@contextmanager
def _moved_to(folder, alias):
    """The database `alias` lives in `folder`."""
    described, usual = connections[alias].settings_dict, file_of(alias)
    connections[alias].close()
    _checkpoint(usual)
    shutil.copy(usual, folder)
    described["NAME"] = str(folder / usual.name)
    yield
    connections[alias].close()
    _checkpoint(described["NAME"])
    shutil.copy(described["NAME"], usual)
    described["NAME"] = str(usual)


def _checkpoint(file):
    database = sqlite3.connect(file, isolation_level=None)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def _fill(folder):
    with (folder / "filling").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    return folder / "filling"


@pytest.mark.root
def test_a_full_disk_of_the_audit_before_the_call_keeps_anything_from_being_sent(carry_out, tms, small_disk):
    with _moved_to(small_disk, "audit"):
        carry_out(cids=["before"])
        filling = _fill(small_disk)
        result = carry_out(cids=CIDS)
        assert (result.outcome, result.refusal_code) == (Outcome.REFUSED, 503)
        filling.unlink()
    assert_promise_kept(tms, calls=1)


@pytest.mark.root
def test_a_disk_of_the_audit_that_fills_up_during_the_call_costs_no_job(carry_out, tms, small_disk):
    with _moved_to(small_disk, "audit"):
        with pytest.MonkeyPatch.context() as patch:
            after_reply(patch, lambda: _fill(small_disk))
            result = carry_out(cids=CIDS)
        assert (result.outcome, result.job_recorded) == (Outcome.ACCEPTED, True)
        (small_disk / "filling").unlink()
    assert_promise_kept(tms, calls=1)
