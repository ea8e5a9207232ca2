"""The transaction that stays open over a call to TMS: it holds nothing until the answer is there."""

import re
import sqlite3

import pytest
from django.db import DatabaseError, OperationalError, connections, transaction
from model_bakery import baker

from jobs.models import Job, JobCustomer
from tmsdash.db.transactions import transaction_around_call, write_transaction
from tmsdash.tests.tools import in_thread, locked, other_process, pragma, traced


@pytest.fixture(autouse=True, params=["open connection", "closed connection", "new connection"])
def state(request, databases):
    """Django sets a connection's transaction_mode when it opens it, so all that a thread may begin with counts."""
    if request.param != "new connection":
        connections["jobs"].ensure_connection()
    if request.param == "closed connection":
        connections["jobs"].close()
    if request.param == "new connection":
        connections["jobs"].close()
        del connections["jobs"]


def add_job():
    return baker.make(Job)


def add_job_elsewhere():
    """Another thread adds a job without waiting for anybody."""

    def add():
        with write_transaction("jobs", 0):
            add_job()

    in_thread(add)


def test_no_statement_runs_before_the_answer():
    for statement in (lambda: Job.objects.count(), add_job):
        with pytest.raises(RuntimeError, match="'jobs' before the remote call was answered"):
            with transaction_around_call("jobs"):
                statement()
    assert not Job.objects.exists()
    add_job()  # outside it everything goes again
    assert Job.objects.count() == 1


def test_other_databases_are_free_during_the_call():
    with transaction_around_call("jobs"), write_transaction("audit", 0):
        baker.make("audit.Attempt")


def test_nobody_waits_for_a_transaction_whose_call_is_not_answered():
    with transaction_around_call("jobs") as after_answer:
        add_job_elsewhere()
        with other_process("jobs") as other:
            other.execute("BEGIN")
            other.execute("DELETE FROM jobs_job")
            other.execute("COMMIT")
        add_job_elsewhere()
        after_answer(5)
        job = add_job()  # no snapshot is left behind that the write could not use
    assert Job.objects.count() == 2
    assert in_thread(Job.objects.filter(pk=job.pk).exists)


@pytest.mark.sqlite
def test_the_lock_is_held_from_the_first_write():
    with transaction_around_call("jobs") as after_answer, other_process("jobs") as other:
        after_answer(5)
        other.execute("BEGIN IMMEDIATE")  # not yet
        other.execute("ROLLBACK")
        add_job()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    assert Job.objects.count() == 1


@pytest.mark.sqlite
def test_the_turn_to_write_begins_with_the_answer_and_ends_with_the_commit():
    with transaction_around_call("jobs") as after_answer:
        after_answer(5)
        with pytest.raises(OperationalError, match="no turn"):
            add_job_elsewhere()
    add_job_elsewhere()


@pytest.mark.sqlite
def test_it_begins_deferred_which_is_what_djangos_attribute_decides():
    """`transaction_mode` of the connection is no public API: this test fails when Django changes it."""
    with traced("jobs") as statements, transaction_around_call("jobs") as after_answer:
        assert connections["jobs"].transaction_mode == "DEFERRED"
        after_answer(5)
        add_job()
    commands = [statement for statement in statements if re.match("BEGIN|COMMIT|INSERT|PRAGMA", statement)]
    assert [command.split()[0] for command in commands] == ["BEGIN", "PRAGMA", "INSERT", "COMMIT", "PRAGMA"]
    assert commands[0] == "BEGIN DEFERRED"
    assert connections["jobs"].transaction_mode == "IMMEDIATE"
    with traced("jobs") as statements, transaction.atomic(using="jobs"):
        pass
    assert statements[0] == "BEGIN IMMEDIATE"


@pytest.mark.sqlite
@pytest.mark.parametrize("answered", [False, True])
def test_after_an_error_the_connection_is_as_before(answered):
    with pytest.raises(ZeroDivisionError), transaction_around_call("jobs") as after_answer:
        if answered:
            after_answer(5)
            add_job()
        raise ZeroDivisionError
    assert connections["jobs"].transaction_mode == "IMMEDIATE"
    assert pragma("jobs", "busy_timeout") == 20_000
    assert not Job.objects.exists()
    add_job_elsewhere()


@pytest.mark.sqlite
def test_when_it_cannot_begin_the_connection_is_as_before():
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic(using="jobs"):
        with transaction_around_call("jobs"):
            pass
    assert connections["jobs"].transaction_mode == "IMMEDIATE"


def test_the_wait_for_the_first_write_is_bounded():
    with locked("jobs", "jobs_job"), pytest.raises(OperationalError):
        with transaction_around_call("jobs") as after_answer:
            after_answer(0.05)
            add_job()
    assert not Job.objects.exists()
    with transaction_around_call("jobs") as after_answer:
        after_answer(5)
        add_job()
    assert Job.objects.count() == 1


def test_an_error_of_the_database_takes_everything_back():
    job = add_job()
    with pytest.raises(DatabaseError), transaction_around_call("jobs") as after_answer:
        after_answer(5)
        add_job()
        baker.make(JobCustomer, job=job, cid="a", position=0)
        baker.make(JobCustomer, job=job, cid="b", position=0)
    assert list(Job.objects.all()) == [job]
    assert not JobCustomer.objects.exists()
