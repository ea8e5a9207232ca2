"""A ledger that somebody changed who has no key: nothing is sent of it that its user did not confirm, or twice."""

import pytest
from django.core.management import call_command
from django.db import connections

from audit.choices import Kind
from audit.models import Attempt, AuditEntry
from audit.services import record_events
from jobs.models import Batch, BatchChunk
from jobs.signatures import batch_is_signed, chunk_is_signed
from setactions.batches.chunk_check import check_chunk
from setactions.batches.recovery import catch_up
from setactions.proof.ledger_comparison import LedgerComparison
from setactions.proof.tests.forging import forge_job, set_column, write
from setactions.refusal import Refusal
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN

State = BatchChunk.State
pytestmark = pytest.mark.usefixtures("databases")


def problems():
    return [problem for _, problem in LedgerComparison().problems()]


def sent(tms):
    return [list(call.cids) for call in tms.calls()]


def chunks(batch):
    return list(BatchChunk.objects.filter(batch_id=batch.pk).select_related("batch").order_by("number"))


CHUNK = {
    "cids": '["c0", "x9"]',
    "number": 7,
    "cluster_url": "http://127.0.0.1:2",
    "action_code": 5,
    "action_sent": "PE-Direct",
    "set_aside": '["c0"]',
    "mac": "",
    "key_id": "0" * 16,
}
BATCH = {
    "user_id": "oscar",
    "file_name": "other.csv",
    "list_digest": "0" * 64,
    "customer_count": 9,
    "repeated": 3,
    "chunk_count": 9,
    "cluster_url": "https://other.example",
    "action_code": 5,
    "created_at": "2001-01-01 00:00:00",
    "allow_unusual": True,
    "batch_id": "0" * 31 + "1",
    "mac": "",
    "key_id": "0" * 16,
}


@pytest.mark.parametrize("column", CHUNK)
def test_a_chunk_that_is_not_what_was_confirmed_is_not_sent(make_batch, run, tms, column):
    batch = make_batch(count=2)
    assert problems() == []
    set_column("jobs", "jobs_batchchunk", column, CHUNK[column])
    assert problems()
    after = run(batch)
    assert (after.state, [chunk.state for chunk in chunks(batch)]) == (Batch.State.STOPPED, [State.WAITING])
    assert "not as it was confirmed" in after.reason
    assert sent(tms) == []
    refusal = AuditEntry.objects.get()
    assert (refusal.kind, refusal.user_id) == (Kind.REFUSED, "olivia")


@pytest.mark.parametrize("column", BATCH)
def test_a_batch_that_was_changed_is_named_and_not_sent(make_batch, run, tms, column):
    batch = make_batch()
    set_column("jobs", "jobs_batch", column, BATCH[column])
    assert problems()
    assert run(batch).state == Batch.State.STOPPED
    assert sent(tms) == []


def test_chunks_that_are_gone_are_named(make_batch):
    make_batch(count=6)
    write("jobs", "DELETE FROM jobs_batchchunk WHERE number = 1")
    assert "Chunks 2 to 2 are missing." in problems()
    write("jobs", "DELETE FROM jobs_batchchunk")
    assert problems()


def test_an_accepted_chunk_that_is_called_waiting_is_not_sent_again(make_batch, run, tms):
    batch = run(make_batch(count=4))
    set_column("jobs", "jobs_batchchunk", "state", "waiting")
    assert len(problems()) == 3  # each chunk, and the batch that is called done
    assert run(batch).state == Batch.State.DONE
    assert len(sent(tms)) == 2


def test_an_accepted_chunk_with_another_try_is_not_sent_again(make_batch, run, tms, settings):
    settings.TMS_DUPLICATE_WINDOW_S = 0
    batch = run(make_batch(count=2))
    write("jobs", "UPDATE jobs_batchchunk SET state = 'waiting', tries = 2")
    assert problems()
    after = run(batch)
    assert (after.state, len(sent(tms))) == (Batch.State.STOPPED, 1)
    assert "accepted before" in after.reason


@pytest.mark.sqlite  # PostgreSQL's own check knows no way round it
@pytest.mark.parametrize("tries", [0, -3, 1.5, "1x", "01"])
def test_an_accepted_chunk_with_a_try_that_is_none_is_not_sent_again(make_batch, run, tms, settings, tries):
    settings.TMS_DUPLICATE_WINDOW_S = 0
    batch = run(make_batch(count=2))
    with connections["jobs"].cursor() as cursor:
        cursor.execute("PRAGMA ignore_check_constraints = ON")
        cursor.execute("UPDATE jobs_batchchunk SET state = 'waiting', tries = %s", [tries])
        cursor.execute("PRAGMA ignore_check_constraints = OFF")
    assert problems()
    after = run(batch)
    assert (after.state != Batch.State.RUNNING, len(sent(tms))) == (True, 1)


def test_an_unknown_chunk_with_another_try_is_not_sent_again(make_batch, run, tms, settings):
    tms.script("fault:reset-after")
    batch = run(make_batch(count=2))
    assert [chunk.state for chunk in chunks(batch)] == [State.UNKNOWN]
    write("jobs", "UPDATE jobs_batchchunk SET state = 'waiting', tries = 2")
    [chunk] = chunks(batch)
    with pytest.raises(Refusal) as refusal:
        check_chunk(chunk, Token(TOKEN))
    assert (refusal.value.code, len(sent(tms))) == (503, 1)  # its runner tries again later
    record_events(chunk.attempt_id_of(1), [(Kind.NOT_APPLIED, {"message": "Nothing shows it."})], wait_s=5)
    assert run(batch).state == Batch.State.DONE
    assert len(sent(tms)) == 2


@pytest.mark.parametrize("state", ["accepted", "rejected", "set_aside", "not_sent", "not_applied"])
def test_a_state_that_the_audit_does_not_tell_of_is_named(make_batch, run, tms, state):
    tms.script("fault:reset-before")
    run(make_batch(count=2))
    assert problems() == []
    set_column("jobs", "jobs_batchchunk", "state", state)
    assert len(problems()) == 1


def test_a_chunk_without_the_ids_that_tms_does_not_know_is_signed_again(make_batch, run, tms):
    tms.script("fault:unknown-ids:1")
    run(make_batch(count=2))
    [chunk] = chunks(Batch.objects.get())
    assert (chunk.state, chunk.cids, chunk.set_aside) == (State.SET_ASIDE, ["c1"], ["c0"])
    assert chunk_is_signed(chunk)
    assert problems() == []


def test_a_batch_that_is_called_done_before_it_is_is_named(make_batch):
    make_batch()
    set_column("jobs", "jobs_batch", "state", "done")
    assert "marked as done" in problems()[0]


UNREADABLE = [
    *(("jobs_batch", column) for column in ("batch_id", "created_at", "chunk_count", "customer_count")),
    *(("jobs_batchchunk", column) for column in ("number", "cids", "set_aside", "state", "tries", "customer_count")),
]


@pytest.mark.sqlite  # which holds anything in any column
@pytest.mark.parametrize(("table", "column"), UNREADABLE)
def test_what_cannot_be_read_in_a_batch_is_named_and_stops_nobody(make_batch, table, column):
    first, _ = make_batch(count=2), make_batch(count=2)
    with connections["jobs"].cursor() as cursor:
        cursor.execute("PRAGMA ignore_check_constraints = ON")
        own = "batch_id" if table == "jobs_batchchunk" else "id"
        cursor.execute(f"UPDATE {table} SET {column} = 'x' WHERE {own} = {first.pk}")
        cursor.execute("PRAGMA ignore_check_constraints = OFF")
    comparison = LedgerComparison()
    assert [*comparison.problems()]
    assert comparison.batches == 2


def test_a_forged_job_makes_no_chunk_accepted(make_batch, run, tms):
    tms.script("fault:reset-before")
    batch = run(make_batch(count=2))
    forge_job(Attempt.objects.get())
    catch_up(batch)
    assert [chunk.state for chunk in chunks(batch)] == [State.UNKNOWN]


def test_batches_from_before_there_were_signatures_are_signed_when_they_are_migrated(make_batch):
    batch = make_batch(count=250, size=1)
    try:
        call_command("migrate", "jobs", "0006_legacy", database="jobs", verbosity=0)
    finally:
        call_command("migrate", "jobs", database="jobs", verbosity=0)
    assert batch_is_signed(Batch.objects.get())
    assert all(chunk_is_signed(chunk) for chunk in chunks(batch))
    assert problems() == []


def test_batches_from_before_there_was_a_word_for_unusual_ids_keep_their_signatures(make_batch):
    make_batch()
    try:
        call_command("migrate", "jobs", "0008_cluster_backoff", database="jobs", verbosity=0)
    finally:
        call_command("migrate", "jobs", database="jobs", verbosity=0)
    assert batch_is_signed(Batch.objects.get())
