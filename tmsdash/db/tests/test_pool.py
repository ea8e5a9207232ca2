"""The pool of connections to PostgreSQL: nobody waits for a server that is away, and its return is noticed at once."""

import os

import psycopg
import pytest

from tmsdash.db import pool as pools
from tmsdash.db.pool import Pool
from tmsdash.tests.tools import at_once

pytestmark = pytest.mark.postgresql
FOR_EVER_S = 3600  # nothing here may wait so long


class Server:
    """The server of the tests, which can be away; counts who tried to connect."""

    def __init__(self):
        self.is_away, self.tries = False, 0

    def connect(self):
        self.tries += 1
        if self.is_away:
            raise psycopg.OperationalError("connection refused")
        return psycopg.connect(f"{os.environ['TEST_POSTGRES_URL']}/postgres", autocommit=True)

    def end(self, connections):
        with psycopg.connect(f"{os.environ['TEST_POSTGRES_URL']}/postgres", autocommit=True) as session:
            for connection in connections:
                session.execute("SELECT pg_terminate_backend(%s, 60000)", [connection.info.backend_pid])


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def pool(server):
    pool = Pool(server.connect, max_size=5, wait_s=FOR_EVER_S)
    yield pool
    pool.close()


def lend_and_take_back(pool, count):
    lent = [pool.getconn() for _ in range(count)]
    for connection in lent:
        pool.putconn(connection)
    return lent


def test_a_connection_is_kept_for_the_next_thread(pool, server):
    first, second = pool.getconn(), pool.getconn()
    for connection in (first, second):
        pool.putconn(connection)
    assert pool.getconn() is second
    assert pool.getconn() is first
    assert server.tries == 2


def test_after_a_restart_of_the_server_the_first_to_ask_gets_a_connection_that_works(pool, server):
    before = lend_and_take_back(pool, 5)
    server.end(before)
    after = pool.getconn()
    assert after.execute("SELECT 1").fetchone() == (1,)
    assert all(connection.closed for connection in before)  # of which only one was tried
    assert server.tries == 6


def test_who_asks_while_the_server_is_away_learns_it_at_once_and_who_asks_next_tries_at_once(pool, server):
    server.end(lend_and_take_back(pool, 3))
    server.is_away = True
    for tries in range(4, 24):  # more than there are slots: each is given back
        with pytest.raises(psycopg.OperationalError, match="connection refused"):
            pool.getconn()
        assert server.tries == tries
    server.is_away = False
    assert len(lend_and_take_back(pool, 5)) == 5
    assert server.tries == 28


def test_no_more_connections_than_slots_are_open_at_once(pool, server):
    seen = []

    def use(number):
        connection = pool.getconn()
        seen.append(connection.execute("SELECT pg_backend_pid()").fetchone())
        pool.putconn(connection)

    at_once(20, use)
    assert len(seen) == 20
    assert server.tries <= 5


def test_who_finds_no_slot_in_time_is_told_what_to_change(server):
    pool = Pool(server.connect, max_size=1, wait_s=0)
    connection = pool.getconn()
    with pytest.raises(psycopg.OperationalError, match="all 1 connections of this process.*raise WEB_THREADS"):
        pool.getconn()
    pool.putconn(connection)
    assert pool.getconn() is connection
    pool.close()
    pool.putconn(connection)
    assert connection.closed


def test_what_comes_back_in_a_transaction_is_not_lent_again(pool):
    connection = pool.getconn()
    connection.autocommit = False
    connection.execute("SELECT 1")
    pool.putconn(connection)
    assert connection.closed
    usable = pool.getconn()
    usable.autocommit = False
    pool.putconn(usable)
    assert pool.getconn() is usable
    assert usable.autocommit


@pytest.mark.parametrize(("limit", "is_closed"), [("MAX_AGE_S", True), ("MAX_IDLE_S", False)])
def test_what_is_old_is_closed(pool, monkeypatch, limit, is_closed):
    waiting, connection = pool.getconn(), pool.getconn()
    pool.putconn(waiting)
    monkeypatch.setattr(pools, limit, 0)
    pool.putconn(connection)
    assert connection.closed == is_closed
    assert waiting.closed == (not is_closed)
