"""A proof that a database takes writes holds for a second, and for no longer than it is true."""

import pytest
from django.db import IntegrityError, OperationalError, connections, transaction

from jobs import services
from jobs.models import Job
from jobs.services import assert_writable, create_job
from jobs.tests.making import accepted
from setactions.tests.test_database_faults import FAULTS, file_of
from tmsdash.db import writability
from tmsdash.db.transactions import transaction_around_call, write_transaction
from tmsdash.tests.tools import Clock, Gate, in_thread, threads

pytestmark = pytest.mark.usefixtures("databases")


@pytest.fixture
def clock(monkeypatch):
    clock = Clock(1000.0)
    monkeypatch.setattr(writability, "time", clock)
    return clock


@pytest.fixture
def writes(monkeypatch):
    """The real writes that were made; each does what it did before."""
    made, write = [], services.prove_writable

    def count(wait_s):
        made.append(wait_s)
        write(wait_s)

    monkeypatch.setattr(services, "prove_writable", count)
    return made


def test_one_write_a_second_proves_it_for_all_threads(clock, writes):
    for _ in range(3):
        assert_writable(wait_s=5)
        in_thread(lambda: assert_writable(wait_s=5))
    assert len(writes) == 1
    clock.now += 1.01
    assert_writable(wait_s=5)
    assert len(writes) == 2
    assert not Job.objects.exists()


@pytest.mark.sqlite
@pytest.mark.parametrize("fault", ["read-only", "locked", "full disk"])
def test_a_fault_is_noticed_after_a_second_at_the_latest_and_every_time(clock, writes, fault, monkeypatch):
    assert_writable(wait_s=5)
    with monkeypatch.context() as patch:
        if fault == "full disk":
            patch.setattr("tmsdash.db.transactions.MIN_FREE_BYTES", 1 << 62)
            keep = patch.context()
        else:
            keep = FAULTS[fault]("jobs")
        with keep:
            assert_writable(wait_s=0.1)  # it was proven just now
            clock.now += 1.01
            for _ in range(2):  # no failure is kept, least of all as a success
                with pytest.raises(OperationalError):
                    assert_writable(wait_s=0.1)
    assert_writable(wait_s=5)
    assert len(writes) == 4


@pytest.mark.sqlite
def test_a_file_that_is_gone_or_another_one_is_noticed_at_once(writes, tmp_path):
    assert_writable(wait_s=5)
    with FAULTS["missing"]("jobs"), pytest.raises(OperationalError, match="is not there"):
        assert_writable(wait_s=5)
    assert_writable(wait_s=5)
    file, copy = file_of("jobs"), tmp_path / "copy.db"
    connections["jobs"].close()
    copy.write_bytes(file.read_bytes())
    copy.replace(file)
    assert_writable(wait_s=5)
    assert len(writes) == 4


def test_a_write_that_fails_ends_the_proof(writes):
    twice = accepted()
    with write_transaction("jobs"):
        create_job(twice)
    assert_writable(wait_s=5)
    with pytest.raises(IntegrityError), write_transaction("jobs"):
        create_job(twice)
    assert_writable(wait_s=5)
    with pytest.raises(IntegrityError), transaction_around_call("jobs") as after_answer:
        after_answer(5)
        create_job(twice)
    assert_writable(wait_s=5)
    assert len(writes) == 3


def test_a_write_that_fails_while_it_is_proven_leaves_no_proof():
    written = []

    def write(wait_s):
        written.append(wait_s)
        writability.forget("jobs")

    for _ in range(2):
        writability.assert_proven("jobs", None, write, 5)
    assert len(written) == 2


def test_whoever_waits_for_another_threads_proof_waits_no_longer_than_asked():
    gate = Gate()
    with threads() as submit:
        proof = submit(writability.assert_proven, "jobs", None, lambda wait_s: gate.enter(), 5)
        gate.await_entry()
        with pytest.raises(OperationalError, match="busy"):
            writability.assert_proven("jobs", None, pytest.fail, 0.05)
        gate.open()
    proof.result()
    writability.assert_proven("jobs", None, lambda wait_s: pytest.fail("it is proven"), 5)
    with transaction.atomic(using="jobs", durable=True):  # nothing is open
        pass
