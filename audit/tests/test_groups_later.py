"""Group commit: what nobody waits for is written with the next group, or soon, or given back."""

import logging
import threading
import uuid

import pytest
from django.db import DatabaseError, connections

from audit import groups
from audit.actors import Actor
from audit.chain import new_entry
from audit.choices import Kind
from audit.models import Attempt
from audit.services import record_fact, record_later
from audit.tests.making import kinds_of, make_attempt
from audit.tests.test_groups import led, names, sizes  # noqa: F401 (a fixture)
from tmsdash.db.tests.watched_queue import WatchedQueue
from tmsdash.tests.tools import WAIT_S, locked, threads

pytestmark = pytest.mark.usefixtures("databases")


def test_what_nobody_waits_for_rides_in_the_next_group(sizes, monkeypatch):  # noqa: F811
    monkeypatch.setattr(groups, "see_to_flush", lambda: None)
    attempt = make_attempt(Kind.ACCEPTED)
    record_later(attempt.attempt_id, [(Kind.RECORDED, {})], on_failure=print)
    assert kinds_of(attempt) == ["INTENT", "ACCEPTED"]
    record_fact(Kind.EXPORTED, {}, actor=Actor(user_id="x"), wait_s=5)
    assert kinds_of(attempt) == ["INTENT", "ACCEPTED", "RECORDED"]
    assert sizes == [1, 1, 2]


def test_if_nobody_comes_a_thread_writes_it(monkeypatch):
    flushed, flush = threading.Event(), groups.flush

    def flush_and_say(wait_s):
        flush(wait_s)
        connections.close_all()
        flushed.set()

    monkeypatch.setattr(groups, "flush", flush_and_say)
    monkeypatch.setattr(groups, "see_to_flush", groups._Flusher().see_to_flush)
    attempt = make_attempt(Kind.ACCEPTED)
    for kind in (Kind.RECORDED, Kind.NOT_APPLIED):  # it goes on after the first one
        record_later(attempt.attempt_id, [(kind, {})], on_failure=print)
        assert flushed.wait(WAIT_S)
        flushed.clear()
    assert kinds_of(attempt) == ["INTENT", "ACCEPTED", "RECORDED", "NOT_APPLIED"]


def test_what_cannot_be_written_is_given_back_with_the_error(monkeypatch):
    monkeypatch.setattr(groups, "FLUSH_WAIT_S", 0.05)
    attempt, errors = make_attempt(Kind.ACCEPTED), []
    with locked("audit", "audit_auditentry"):
        record_later(attempt.attempt_id, [(Kind.RECORDED, {})], on_failure=errors.append)
    assert [isinstance(error, DatabaseError) for error in errors] == [True]
    record_fact(Kind.EXPORTED, {}, actor=Actor(user_id="x"), wait_s=5)
    assert kinds_of(attempt) == ["INTENT", "ACCEPTED"]


def test_what_fails_by_itself_is_given_back_and_costs_nobody_else_anything(monkeypatch):
    errors = []
    monkeypatch.setattr(groups, "see_to_flush", lambda: None)
    record_later(uuid.uuid4(), [(Kind.RECORDED, {})], on_failure=errors.append)
    record_fact(Kind.EXPORTED, {}, actor=Actor(user_id="x"), wait_s=5)
    assert [type(error) for error in errors] == [Attempt.DoesNotExist]
    assert names() == ["x"]


def test_the_log_names_nothing_of_what_was_undone_with_its_group_and_failed_then(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(groups, "see_to_flush", lambda: None)
    tries, errors = [], []

    def work_once(end):
        if tries:
            raise ValueError("no")
        tries.append(end.add(new_entry(None, Kind.EXPORTED, "once", {})))

    groups.write_later(work_once, errors.append)
    record_later(uuid.uuid4(), [(Kind.RECORDED, {})], on_failure=errors.append)
    record_fact(Kind.EXPORTED, {}, actor=Actor(user_id="x"), wait_s=5)
    assert [type(error) for error in errors] == [ValueError, Attempt.DoesNotExist]
    assert names() == ["x"]
    assert len([line for line in caplog.messages if "anchor=" in line]) == 1


def test_who_flushes_waits_for_what_another_thread_is_just_writing(monkeypatch):
    monkeypatch.setattr(groups, "see_to_flush", lambda: None)
    attempt, queue = make_attempt(Kind.ACCEPTED), WatchedQueue()
    monkeypatch.setattr(groups, "_queue", queue)
    record_later(attempt.attempt_id, [(Kind.RECORDED, {})], on_failure=print)
    queue.await_joined()
    with threads() as submit:
        with led(queue):  # RECORDED is in this group, and not committed
            flushed = submit(groups.flush, WAIT_S)
            flushed.add_done_callback(lambda _: queue.joined.release())
            queue.await_joined()
            assert not flushed.done()
        flushed.result(WAIT_S)
    assert kinds_of(attempt) == ["INTENT", "ACCEPTED", "RECORDED"]


def test_without_a_thread_to_write_it_the_next_group_does(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    attempt = make_attempt(Kind.ACCEPTED)
    monkeypatch.setattr(groups, "see_to_flush", groups._Flusher().see_to_flush)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    record_later(attempt.attempt_id, [(Kind.RECORDED, {})], on_failure=print)
    monkeypatch.undo()
    record_fact(Kind.EXPORTED, {}, actor=Actor(user_id="x"), wait_s=5)
    assert kinds_of(attempt) == ["INTENT", "ACCEPTED", "RECORDED"]
