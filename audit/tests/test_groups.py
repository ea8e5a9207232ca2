"""Group commit: who shares a transaction is answered when it is durable, fails alone, or withdraws in time."""

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from threading import Barrier

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit import groups
from audit.actors import Actor
from audit.chain import ChainEnd, new_entry
from audit.choices import Kind
from audit.models import Attempt, AttemptCustomer, AuditEntry
from audit.proof.verification import verify
from audit.services import record_events, record_fact
from audit.tests.making import kinds_of, make_attempt, make_request, open_, refuse
from tmsdash.db.groups import Member, carry_out_apart
from tmsdash.db.tests.watched_queue import watched_queue_of
from tmsdash.db.transactions import write_transaction
from tmsdash.tests import killing
from tmsdash.tests.tools import WAIT_S, Gate, at_once, locked, threads

pytestmark = pytest.mark.usefixtures("databases")
SIZE = 8  # of the groups here
CALLER = ContextVar("caller", default="nobody")
queue = watched_queue_of(groups)


@pytest.fixture
def sizes(monkeypatch):
    """How many were in each group."""
    sizes, original = [], groups.Queue.take_group

    def take_group(queue, leader):
        group = original(queue, leader)
        sizes.append(len(group))
        return group

    monkeypatch.setattr(groups.Queue, "take_group", take_group)
    return sizes


def adding(name, then=lambda: None):
    """The work of adding an entry of this name."""

    def add(end):
        end.add(new_entry(None, Kind.EXPORTED, name, {}))
        then()
        return name

    return add


def names():
    return [*AuditEntry.objects.order_by("sequence").values_list("user_id", flat=True)]


def failing(error):
    def fail():
        raise error

    return fail


@contextmanager
def pool():
    """Threads that write; `submit(work)` returns a future."""

    def write(work, wait_s=WAIT_S, caller="nobody", **options):
        CALLER.set(caller)
        return groups.write(work, wait_s, **options)

    with threads(SIZE + 2) as submit:
        yield partial(submit, write)


@contextmanager
def led(queue):
    """Threads, of which the first one leads and does not end its group before the block has come to its end."""
    gate = Gate()
    with pool() as submit:
        first = submit(adding("first", gate.enter))
        gate.await_entry()
        queue.await_joined()
        try:
            yield submit
        finally:
            gate.open()
        assert first.result(WAIT_S) == "first"


def write_as_one_group(queue, *works):
    """Write these as one group; return their futures, which are done."""
    with led(queue) as submit:
        futures = []
        for work in works:  # in this order
            futures.append(submit(work))
            queue.await_joined()
    return futures


def test_all_who_wait_share_one_transaction_in_the_order_in_which_they_came(queue, sizes):
    works = [adding(f"u{number}") for number in range(SIZE)]
    assert [future.result() for future in write_as_one_group(queue, *works)] == [f"u{number}" for number in range(SIZE)]
    assert sizes == [1, SIZE]
    assert names() == ["first", *(f"u{number}" for number in range(SIZE))]
    assert verify().is_whole


def test_work_that_goes_alone_has_a_transaction_of_its_own_and_is_not_passed_over_twice(queue, sizes):
    with led(queue) as submit:
        for name in ("second", "long", "third", "longer", "fourth"):
            submit(adding(name), alone=name.startswith("long"))
            queue.await_joined()
    assert sizes == [1, 3, 1, 1]
    assert names() == ["first", "second", "third", "fourth", "long", "longer"]


@pytest.mark.parametrize("place", [0, 1, 2], ids=["the leader", "in the middle", "the last"])
@pytest.mark.parametrize("error", [ValueError("no"), IntegrityError("no"), OperationalError("no")])
def test_who_fails_is_rolled_back_alone(queue, place, error, caplog):
    caplog.set_level(logging.INFO)
    works = [adding("a"), adding("b")]
    works.insert(place, adding("failing", failing(error)))
    futures = write_as_one_group(queue, *works)
    failed = futures.pop(place)
    assert failed.exception() is error
    assert [future.result() for future in futures] == ["a", "b"]
    assert names() == ["first", "a", "b"]
    assert verify().is_whole
    assert len([line for line in caplog.messages if "anchor=" in line]) == 3


def test_works_that_are_done_again_beside_one_that_fails_come_to_the_same(queue):
    pending = make_attempt(cids=["a"])
    queue.await_joined()
    accepted = (Kind.ACCEPTED, {"http_status": 200, "message": "ok"})
    works = {
        "opened": lambda: open_(make_request(cids=["b", "c"]))[1],
        "refused": lambda: refuse(cids=["d"]),
        "moved": lambda: record_events(pending.attempt_id, [accepted], wait_s=WAIT_S, known=pending),
    }
    with threads(len(works)) as call, led(queue) as submit:
        futures = {}
        for name, work in works.items():
            futures[name] = call(work)
            queue.await_joined()
        failed = submit(adding("failing", failing(ValueError("no"))))
        queue.await_joined()
    assert isinstance(failed.exception(WAIT_S), ValueError)
    attempts = {name: future.result(WAIT_S) for name, future in futures.items()}
    for attempt in attempts.values():
        row = Attempt.objects.values().get(attempt_id=attempt.attempt_id)
        assert row == {name: getattr(attempt, name) for name in row}
    assert attempts["refused"].decided_at == attempts["refused"].created_at
    assert {name: [*kinds_of(attempt)] for name, attempt in attempts.items()} == {
        "opened": [Kind.INTENT],
        "refused": [Kind.REFUSED],
        "moved": [Kind.INTENT, Kind.ACCEPTED],
    }
    assert AttemptCustomer.objects.count() == 4
    assert verify().is_whole


def test_no_statement_sets_apart_who_does_not_fail(queue):
    """As a rule nobody does: one part is enough for a group of any size."""
    with CaptureQueriesContext(connections["audit"]) as captured:
        carried = [Member(adding(f"u{number}")) for number in range(SIZE)]
        with write_transaction("audit"):
            end = ChainEnd()
            carry_out_apart(carried, lambda member: member.carry_out(end), end)
            end.save()
    assert sum("SAVEPOINT" in query["sql"] for query in captured) == 2
    assert names() == [f"u{number}" for number in range(SIZE)]


def test_a_statement_that_the_database_refuses_costs_only_its_own_writer(queue):
    attempt = make_attempt()
    taken = make_request(attempt_id=attempt.attempt_id)

    def insert_twice(end):
        Attempt.objects.create(
            **{"attempt_id": taken.attempt_id, "customer_count": 0, "created_at": timezone.now(), "is_open": False}
        )

    futures = write_as_one_group(queue, adding("a"), insert_twice, adding("b"))
    assert isinstance(futures[1].exception(), IntegrityError)
    assert names()[1:] == ["first", "a", "b"]
    assert verify().is_whole


def test_a_commit_that_fails_is_told_to_everybody_and_leaves_nothing(queue):
    def leave_an_orphan(end):
        AttemptCustomer.objects.create(segment=1, attempt_id=1 << 40, cid="a")  # which only the commit notices

    futures = write_as_one_group(queue, adding("a"), leave_an_orphan, adding("b"))
    errors = [future.exception() for future in futures]
    assert [type(error) for error in errors] == [IntegrityError] * 3
    assert len({id(error) for error in errors}) == 3  # each thread gives its own a traceback
    assert names() == ["first"]
    record_fact(Kind.EXPORTED, {}, actor=Actor(user_id="after"), wait_s=5)
    assert names() == ["first", "after"]
    assert verify().is_whole


def test_a_transaction_that_is_lost_in_the_middle_is_lost_for_everybody(queue):
    def lose(end):
        connection = connections["audit"]
        connection.connection.rollback() if connection.vendor == "sqlite" else connection.connection.close()
        raise OperationalError("the disk is full")

    futures = write_as_one_group(queue, adding("a"), lose, adding("b"))
    assert [str(future.exception()) for future in futures] == ["the disk is full"] * 3
    assert names() == ["first"]


def test_only_who_leads_is_interrupted_and_the_others_may_try_again(queue):
    leader, other = write_as_one_group(queue, adding("a", failing(KeyboardInterrupt())), adding("b"))
    assert isinstance(leader.exception(), KeyboardInterrupt)
    assert isinstance(other.exception(), OperationalError)
    assert names() == ["first"]


def test_who_waits_in_vain_withdraws_and_never_appears(queue):
    with led(queue) as submit:
        late = submit(adding("late"), 0.05)
        with pytest.raises(OperationalError, match="'audit' is busy: no turn to write within 0.1 s"):
            late.result(WAIT_S)
    record_fact(Kind.EXPORTED, {}, actor=Actor(user_id="after"), wait_s=5)
    assert names() == ["first", "after"]


def test_who_was_begun_in_time_learns_what_became_of_it_however_late(queue):
    late = []

    def wait_until_one_is_late():
        late.append(queue.late.acquire(timeout=WAIT_S))

    with led(queue) as submit:
        leader = submit(adding("leader", wait_until_one_is_late))
        queue.await_joined()
        follower = submit(adding("follower"), 1.0)
        queue.await_joined()
    assert (leader.result(), follower.result(), late) == ("leader", "follower", [True])
    assert names() == ["first", "leader", "follower"]


def test_a_leader_who_waits_in_vain_leaves_the_others_their_own_time(queue):
    with pool() as submit:
        with locked("audit", "audit_auditentry"):
            leader = submit(adding("leader"), 0.3)
            queue.await_joined()
            patient = submit(adding("patient"))
            queue.await_joined()
            assert isinstance(leader.exception(WAIT_S), DatabaseError)
        assert patient.result(WAIT_S) == "patient"
    assert names() == ["patient"]


@pytest.mark.parametrize(
    ("point", "written"),
    [("audit: group written, not committed", []), ("audit: group committed, not answered", ["a", "b"])],
)
def test_a_death_at_the_commit_leaves_all_of_a_group_or_nothing(queue, point, written, monkeypatch):
    die_there = partial(monkeypatch.setattr, killing, "_fatal", point)
    futures = write_as_one_group(queue, adding("a", die_there), adding("b"))
    assert [type(future.exception()) for future in futures] == [killing.KilledError] * 2
    monkeypatch.setattr(killing, "_fatal", "")
    assert names() == ["first", *written]
    record_fact(Kind.EXPORTED, {}, actor=Actor(user_id="after the restart"), wait_s=5)
    assert verify().is_whole


def test_whatever_ends_a_leader_another_one_leads(queue, monkeypatch):
    def end(*arguments):
        raise MemoryError

    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(groups, "_lead", end)
        groups.write(adding("nobody"), WAIT_S)
    assert groups.write(adding("next"), WAIT_S) == "next"
    assert names() == ["next"]


def test_each_work_and_its_lines_in_the_log_are_of_its_own_caller_and_hold_nobody_up(queue, monkeypatch):
    seen, all_have_logged = [], Barrier(3)

    def log(entries):
        seen.append((CALLER.get(), *map(str, entries)))
        all_have_logged.wait(WAIT_S)

    monkeypatch.setattr(groups, "log_anchors", log)
    with led(queue) as submit:
        futures = []
        for name in ("a", "b"):
            futures.append(submit(adding(name, lambda: seen.append(CALLER.get())), WAIT_S, name))
            queue.await_joined()
    assert [future.result(WAIT_S) for future in futures] == ["a", "b"]
    assert [name for name in seen if isinstance(name, str)] == ["a", "b"]
    assert {*seen} == {"a", "b", *((name, "EXPORTED") for name in ("nobody", "a", "b"))}


def test_thirty_two_at_once_make_one_chain_without_a_gap(sizes):
    def write(number):
        for round_number in range(5):
            _, attempt = open_(make_request(cids=(f"c{number}-{round_number}",)))
            record_fact(Kind.EXPORTED, {}, actor=Actor(user_id="u"), wait_s=WAIT_S)
            assert kinds_of(attempt) == ["INTENT"]  # who was answered finds it written

    at_once(32, write)
    result = verify()
    assert (result.is_whole, result.entries) == (True, 2 * 5 * 32)
    assert max(sizes) > 3
    assert sum(sizes) == 2 * 5 * 32
