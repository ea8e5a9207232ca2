"""The tuning of the databases and the transactions that write, on real files and servers, against real rivals."""

import sqlite3

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, connections, transaction
from model_bakery import baker

from audit.models import AttemptCustomer
from jobs.models import Job, JobCustomer
from tmsdash.db.transactions import BUSY_TIMEOUT_S, drop_if_broken, write_transaction
from tmsdash.tests.tools import at_once, in_thread, locked, other_process, pragma, traced

ALIASES = ["default", "jobs", "audit"]
TABLES = {"default": "auth_group", "jobs": "jobs_job", "audit": "audit_attempt"}
pytestmark = pytest.mark.usefixtures("databases")


def add_job():
    return baker.make(Job)


def add_job_elsewhere():
    """Another thread adds a job without waiting for anybody."""

    def add():
        with write_transaction("jobs", 0):
            add_job()

    in_thread(add)


# -- What is in force ---------------------------------------------------------------------------------------------


@pytest.mark.sqlite
@pytest.mark.parametrize(("alias", "synchronous"), [("default", 1), ("jobs", 2), ("audit", 2)])  # NORMAL, FULL
@pytest.mark.usefixtures("durable")
def test_the_pragmas_are_in_force_on_every_connection(alias, synchronous):
    expected = {
        "journal_mode": "wal",
        "synchronous": synchronous,
        "foreign_keys": 1,
        "cache_size": -8_000,
        "busy_timeout": 20_000,
        "journal_size_limit": 64 << 20,
        "temp_store": 2,
        "mmap_size": 0,
        "soft_heap_limit": 32 << 20,  # of the process
    }
    assert {name: pragma(alias, name) for name in expected} == expected
    assert in_thread(lambda: {name: pragma(alias, name) for name in expected}) == expected
    assert connections[alias].settings_dict["CONN_MAX_AGE"] == 600


@pytest.mark.parametrize(
    "row",
    [
        User.groups.through(user_id=99, group_id=99),
        JobCustomer(job_id=99, cid="a", position=0),
        AttemptCustomer(segment=0, attempt_id=99, cid="a"),
    ],
)
def test_a_reference_to_a_row_that_is_not_there_is_refused(row):
    with pytest.raises(IntegrityError):
        row.save()


# -- write_transaction --------------------------------------------------------------------------------------------


def test_what_a_write_transaction_wrote_others_see_after_it():
    with write_transaction("jobs"):
        add_job()
        assert in_thread(Job.objects.count) == 0
    assert in_thread(Job.objects.count) == 1


def test_an_exception_takes_everything_back():
    with pytest.raises(ZeroDivisionError), write_transaction("jobs"):
        add_job()
        raise ZeroDivisionError
    assert not Job.objects.exists()
    add_job_elsewhere()  # and nobody is kept waiting


def test_a_write_transaction_is_never_part_of_another():
    with (
        pytest.raises(RuntimeError, match="durable"),
        write_transaction("jobs"),
        transaction.atomic(using="jobs", durable=True),
    ):
        pass
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic(using="jobs"), write_transaction("jobs"):
        pass
    add_job_elsewhere()


@pytest.mark.sqlite
def test_a_write_transaction_takes_the_lock_at_its_beginning():
    with write_transaction("jobs"), other_process("jobs") as other, pytest.raises(sqlite3.OperationalError):
        other.execute("BEGIN IMMEDIATE")


@pytest.mark.parametrize("alias", ALIASES)
def test_the_wait_for_a_lock_of_another_process_is_bounded(alias):
    with (
        locked(alias, TABLES[alias]),
        pytest.raises(OperationalError),
        write_transaction(alias, 0.05),
        connections[alias].cursor() as cursor,
    ):
        cursor.execute(f"DELETE FROM {TABLES[alias]}")
    with write_transaction(alias, 0.05):  # the connection is as good as before
        pass


@pytest.mark.sqlite
@pytest.mark.parametrize("alias", ALIASES)
def test_the_bound_counts_for_the_transaction_only(alias):
    with traced(alias) as statements, write_transaction(alias, 1.5):
        pass
    waits = [int(statement.rpartition(" ")[2]) for statement in statements if "busy_timeout" in statement]
    assert 0 < waits[0] <= 1500
    assert waits[1:] == [BUSY_TIMEOUT_S * 1000]
    assert "busy_timeout" in statements[0]
    assert statements[1:-1] == ["BEGIN IMMEDIATE", "COMMIT"]


@pytest.mark.sqlite
def test_the_usual_wait_is_back_after_a_vain_one_and_after_an_error():
    with locked("jobs", "jobs_job"), pytest.raises(OperationalError), write_transaction("jobs", 0.05):
        pass
    assert pragma("jobs", "busy_timeout") == 20_000
    with pytest.raises(ZeroDivisionError), write_transaction("jobs", 0.05):
        raise ZeroDivisionError
    assert pragma("jobs", "busy_timeout") == 20_000


@pytest.mark.sqlite
def test_the_wait_for_the_turn_in_this_process_is_bounded_and_the_turn_comes_round():
    with write_transaction("jobs"), pytest.raises(OperationalError, match="'jobs' is busy: no turn"):
        add_job_elsewhere()
    add_job_elsewhere()
    with write_transaction("audit"):  # each database has a queue of its own
        add_job_elsewhere()


def test_many_writers_all_get_their_turn():
    def write(_):
        for _ in range(5):
            with write_transaction("jobs", 60):
                Job.objects.count()  # reads, then writes: that fails at once without the lock
                add_job()

    at_once(8, write)
    assert Job.objects.count() == 40


# -- drop_if_broken -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alias", ALIASES)
def test_a_connection_that_is_gone_is_replaced_after_the_block(alias):
    connections[alias].ensure_connection()
    connections[alias].connection.close()  # as a server that restarts, or a firewall, ends it
    with pytest.raises(DatabaseError), drop_if_broken(alias), connections[alias].cursor() as cursor:
        cursor.execute("SELECT 1")
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT 1")


@pytest.mark.parametrize("error", [InterfaceError("gone"), OperationalError("locked"), DatabaseError("malformed")])
def test_every_error_of_a_database_drops_the_named_connections_only(error):
    for alias in ALIASES:
        connections[alias].ensure_connection()
    with pytest.raises(type(error), match=str(error)), drop_if_broken("jobs", "audit"):
        raise error
    assert [alias for alias in ALIASES if connections[alias].connection] == ["default"]


def test_the_error_goes_on_as_what_the_caller_names_and_keeps_its_cause():
    with pytest.raises(ValueError, match="no database: gone") as raised:
        with drop_if_broken("jobs", raising=lambda error: ValueError(f"no database: {error}")):
            raise InterfaceError("gone")
    assert isinstance(raised.value.__cause__, InterfaceError)


def test_other_errors_pass_and_leave_the_connection_open():
    connections["jobs"].ensure_connection()
    with pytest.raises(ZeroDivisionError), drop_if_broken("jobs", raising=lambda error: ValueError("no")):
        raise ZeroDivisionError
    assert connections["jobs"].connection is not None
