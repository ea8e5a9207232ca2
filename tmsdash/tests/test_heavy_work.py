"""Long lists are worked on one after the other, each for as long as Python works on it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from tmsdash import heavy_work
from tmsdash.heavy_work import Busy, others_first, turn
from tmsdash.tests.tools import until

WAIT_S = 60


@pytest.fixture
def pool():
    with ThreadPoolExecutor(20) as pool:
        yield pool


@contextmanager
def taken(pool):
    """The turn is another thread's."""
    has_begun, may_end = threading.Event(), threading.Event()

    def hold():
        with turn():
            has_begun.set()
            assert may_end.wait(WAIT_S)

    held = pool.submit(hold)
    assert has_begun.wait(WAIT_S)
    try:
        yield
    finally:
        may_end.set()
        held.result(WAIT_S)


def enter(seen=(), name=None):
    with turn():
        if name:
            seen.append(name)


def test_one_works_at_a_time_and_a_turn_within_a_turn_is_the_same_one(pool):
    with turn(), turn():
        other = pool.submit(enter)
        until(lambda: heavy_work._waiting == 1)
        assert not other.done()
    other.result(WAIT_S)


def test_others_have_their_turn_in_the_middle_of_it_and_it_returns_before_who_has_not_begun(pool):
    seen, has_begun, may_return = [], threading.Event(), threading.Event()

    def ask():
        with turn():
            with others_first():
                has_begun.set()
                assert may_return.wait(WAIT_S)
            seen.append("returned")

    asking = pool.submit(ask)
    assert has_begun.wait(WAIT_S)
    enter(seen, "first")
    with turn():
        second = pool.submit(enter, seen, "second")
        until(lambda: heavy_work._waiting == 1)
        may_return.set()
        until(lambda: heavy_work._returning == 1)
    asking.result(WAIT_S)
    second.result(WAIT_S)
    assert seen == ["first", "returned", "second"]


def test_who_waits_too_long_has_not_begun_and_who_returns_goes_on(pool, monkeypatch):
    monkeypatch.setattr(heavy_work, "WAIT_S", 0.05)
    monkeypatch.setattr(heavy_work, "RETURN_WAIT_S", 0.05)
    with taken(pool), pytest.raises(Busy):
        enter()
    with ExitStack() as other:
        with turn(), others_first():
            other.enter_context(taken(pool))
        with pytest.raises(Busy):  # it is the other one's still: who went on without it did not end it
            enter()
    enter()


def test_of_many_who_wait_no_more_are_taken(pool, monkeypatch):
    monkeypatch.setattr(heavy_work, "MOST_WAITING", 2)
    with turn():
        waiting = [pool.submit(enter) for _ in range(2)]
        until(lambda: heavy_work._waiting == 2)
        with pytest.raises(Busy):
            pool.submit(enter).result(WAIT_S)
    for future in waiting:
        future.result(WAIT_S)


def test_a_failure_ends_the_turn(pool):
    with pytest.raises(ZeroDivisionError), turn(), others_first():
        1 / 0  # noqa: B018
    pool.submit(enter).result(WAIT_S)
