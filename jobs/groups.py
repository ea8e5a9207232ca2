"""Jobs that threads of this process insert at the same time share one transaction, with one flush of the disk.

Each thread has a transaction of its own around its call to TMS, in which no statement has run when TMS answers. One of
those who have a job to insert by then leads: it waits for the turn to write, inserts the jobs of all who came until
then, each as a part that is undone alone if it fails, and answers once its transaction is committed. The others'
transactions end as they began, with nothing in them. A long list goes alone, to save memory, see audit.groups. The
rules are the first three of that module.

One by one, each of three statements gave the interpreter up while others waited for the turn: with 32 operators at once
a job took the turn for 6 ms instead of 1, and that was all that a server could do. Those who wait for their leader want
no interpreter. PostgreSQL has no turn; there each inserts its own.
"""

import time
from typing import Any

from django.db import connections, transaction

from jobs.services import insert_unlogged, log_inserted
from jobs.stored import DATABASE, StoredJob
from tmsdash.db.bulk import LONG_LIST
from tmsdash.db.groups import Member, Parts, Queue, await_turn, carry_out_apart, tell_others
from tmsdash.db.transactions import AfterAnswer
from tmsdash.kill_points import kill_point

_queue = Queue()


def insert_job(job: StoredJob, after_answer: AfterAnswer, wait_s: float) -> None:
    """Insert a job, as the last thing that a `transaction_around_call` does: at its end the job is committed.

    Raises what the database raises, or it is raised at the end of the transaction; nothing of the job is written then.
    OperationalError means that the turn did not come within `wait_s` seconds, or that the database cannot be written;
    IntegrityError that the job is there already.
    """
    until = time.monotonic() + wait_s
    member = Member(lambda: insert_unlogged(job), alone=len(job.cids) > LONG_LIST)
    if connections[DATABASE].vendor == "sqlite":
        _queue.join(member)
        try:
            if not member.leads:
                await_turn(_queue, member, DATABASE, wait_s)
            if member.leads:
                _lead(member, after_answer, until)
        except BaseException:
            _queue.pass_on(member)  # whatever happened, unless it did
            raise
        if not member.leads:
            if member.error is not None:
                raise member.error
            log_inserted(job)  # in the transaction of another one, which is committed
            return
    else:
        after_answer(wait_s)
        member.carry_out()
    if member.error is None:
        transaction.on_commit(lambda: log_inserted(job), using=DATABASE, robust=True)
    kill_point("service: job inserted, not committed")


def _lead(leader: Member[None], after_answer: AfterAnswer, until: float) -> None:
    """Insert the jobs of all who are waiting once it is our turn; they are answered at the end of the transaction."""
    group: list[Member[Any]] = []

    def answer(_kind: object, failure: BaseException | None, _traceback: object) -> None:
        try:
            if failure is None:
                kill_point("jobs: group committed, not answered")
        except BaseException as death:
            failure = death
            raise
        finally:
            if failure is not None:
                tell_others(group, leader, failure, DATABASE)
            _queue.pass_on(leader)
            for member in group:
                if member is not leader:
                    member.signal()
        if failure is None and leader.error is not None:
            raise leader.error

    ending = after_answer(max(0.0, until - time.monotonic()))
    ending.push(answer)
    group += _queue.take_group(leader)
    with connections[DATABASE].cursor() as cursor:
        carry_out_apart(group, Member.carry_out, Parts(cursor))
