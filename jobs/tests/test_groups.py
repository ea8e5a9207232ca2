"""Jobs that come at the same time share a transaction: everybody is told what became of theirs once it is durable."""

import uuid
from contextlib import contextmanager
from functools import partial

import pytest
from django.db import IntegrityError, OperationalError, transaction

from jobs import groups
from jobs.models import Job, JobCustomer
from jobs.services import new_job
from jobs.tests.making import accepted, make_job
from tmsdash.db.tests.watched_queue import watched_queue_of
from tmsdash.db.transactions import transaction_around_call, write_transaction
from tmsdash.tests import killing
from tmsdash.tests.tools import WAIT_S, threads

pytestmark = [pytest.mark.sqlite, pytest.mark.usefixtures("databases")]
SIZE = 4
queue = watched_queue_of(groups)


def insert(job, wait_s=WAIT_S, at_the_end=lambda: None):
    with transaction_around_call("jobs") as after_answer:
        groups.insert_job(job, after_answer, wait_s)
        at_the_end()


@contextmanager
def gathered(queue, jobs, **of_the_leader):
    """Let one thread for each job insert it, as one group that begins behind the block; yields their futures."""
    with threads(SIZE) as submit:
        futures = []
        with write_transaction("jobs"):  # nobody else's turn
            for job in jobs:
                futures.append(submit(insert, job, **({} if futures else of_the_leader)))
                queue.await_joined()
            yield futures


@pytest.fixture
def commits(monkeypatch):
    """How many transactions wrote jobs until they were committed."""
    commits, original = [], groups._lead

    def lead(*arguments):
        original(*arguments)
        transaction.on_commit(partial(commits.append, 1), using="jobs")

    monkeypatch.setattr(groups, "_lead", lead)
    return commits


def several(count=SIZE, **changes):
    return [new_job(accepted(**changes)) for _ in range(count)]


def ids_of(jobs):
    return {uuid.UUID(job.job_id) for job in jobs}


def written():
    return {*Job.objects.values_list("job_id", flat=True)}


def errors(futures):
    return [type(future.exception(WAIT_S)) for future in futures]


def test_all_who_wait_are_committed_at_once_each_job_with_its_customers_and_its_line(queue, commits, caplog):
    caplog.set_level("INFO")
    jobs = several()
    with gathered(queue, jobs) as futures:
        pass
    assert errors(futures) == [type(None)] * SIZE
    assert (written(), len(commits)) == (ids_of(jobs), 1)
    assert [[*job.customers.values_list("cid", flat=True)] for job in Job.objects.all()] == [["b2", "a1"]] * SIZE
    assert all(caplog.text.count(f"Successfully created job {job_id}") == 1 for job_id in ids_of(jobs))


def test_a_long_list_has_a_transaction_of_its_own(queue, commits, monkeypatch):
    monkeypatch.setattr(groups, "LONG_LIST", 2)
    jobs = several(2) + several(2, cids=("a1", "b2", "c3"))
    with gathered(queue, jobs) as futures:
        pass
    assert errors(futures) == [type(None)] * SIZE
    assert (written(), len(commits)) == (ids_of(jobs), 3)


@pytest.mark.parametrize("place", [0, 2], ids=["the leader", "another"])
def test_one_that_fails_is_undone_alone_and_only_its_caller_is_told(queue, place, caplog):
    caplog.set_level("INFO")
    jobs = several()
    jobs[place] = new_job(accepted(job_id=make_job(cids=["x"]).job_id))
    caplog.clear()
    with gathered(queue, jobs) as futures:
        pass
    assert errors(futures) == [IntegrityError if number == place else type(None) for number in range(SIZE)]
    assert written() == ids_of(jobs)
    assert JobCustomer.objects.count() == 1 + 2 * (SIZE - 1)
    assert f"Successfully created job {uuid.UUID(jobs[place].job_id)}" not in caplog.text


def test_what_ends_the_transaction_ends_it_for_all(queue):
    def break_off():
        raise OperationalError("disk I/O error")

    with gathered(queue, several(), at_the_end=break_off) as futures:
        pass
    assert [str(future.exception(WAIT_S)) for future in futures] == ["disk I/O error"] * SIZE
    assert written() == set()


def test_who_has_waited_too_long_withdraws_and_the_others_are_written(queue):
    jobs = several()
    with gathered(queue, jobs[:2]) as futures, threads() as submit:
        late = submit(insert, jobs[2], wait_s=0.1)
        assert errors([late]) == [OperationalError]
    assert errors(futures) == [type(None)] * 2
    assert written() == ids_of(jobs[:2])


def test_a_leader_whose_turn_does_not_come_leaves_the_others_their_own_time(queue):
    jobs = several(2)
    with gathered(queue, jobs, wait_s=0.1) as futures:
        assert errors(futures[:1]) == [OperationalError]
    assert errors(futures[1:]) == [type(None)]
    assert written() == ids_of(jobs[1:])


@pytest.mark.parametrize(
    ("point", "is_written"),
    [("service: job inserted, not committed", False), ("jobs: group committed, not answered", True)],
)
def test_a_death_at_the_commit_leaves_all_of_a_group_or_nothing(queue, point, is_written, monkeypatch):
    jobs = several()
    monkeypatch.setattr(killing, "_fatal", point)
    with gathered(queue, jobs) as futures:
        pass
    assert errors(futures) == [killing.KilledError] * SIZE
    assert written() == (ids_of(jobs) if is_written else set())


def test_whatever_ends_a_leader_another_one_leads(queue, monkeypatch):
    def end(*arguments):
        raise MemoryError

    with monkeypatch.context() as patch, threads() as submit:
        patch.setattr(groups, "_lead", end)
        assert errors([submit(insert, *several(1))]) == [MemoryError]
    jobs = several(1)
    queue.await_joined()
    with gathered(queue, jobs) as futures:
        pass
    assert (errors(futures), written()) == ([type(None)], ids_of(jobs))
