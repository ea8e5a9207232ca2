"""What the watchdog sees of a worker: its requests, each counted once however it ends, and its calls to TMS."""

import pytest

from setactions.limits import call_slot
from tmsdash.server import shared
from tmsdash.server.heartbeat import tracked, vitals_of

PARTS = [b"a", b"b", b"c"]


def current():
    return vitals_of(shared.mine)


def answer(environ, start_response):
    yield from PARTS


def ask(application=answer):
    return tracked(application)({}, lambda *_: None)


def test_a_request_runs_until_its_answer_is_taken_and_each_part_is_a_step():
    before = current()
    body = ask()
    assert current().requests == before.requests + 1
    assert list(body) == PARTS
    body.close()
    assert current().requests == before.requests
    assert current().steps == before.steps + len(PARTS) + 2


def test_a_request_whose_client_went_away_is_over():
    before = current().requests
    body = ask()
    assert next(iter(body)) == b"a"
    body.close()
    body.close()
    assert current().requests == before


def test_a_request_that_failed_is_over():
    def fail(environ, start_response):
        raise ZeroDivisionError

    def fail_later(environ, start_response):
        yield b"a"
        raise ZeroDivisionError

    before = current().requests
    with pytest.raises(ZeroDivisionError):
        ask(fail)
    with pytest.raises(ZeroDivisionError):
        list(ask(fail_later))
    assert current().requests == before


def test_calls_are_counted_while_they_run():
    before = current().calls
    with call_slot(), call_slot():
        assert current().calls == before + 2
    assert current().calls == before
