"""How often somebody did what leaves an entry, as the audit on PostgreSQL tells of all hosts together."""

from datetime import timedelta
from types import SimpleNamespace

import pytest

from audit import rates
from audit.actors import Actor
from audit.choices import Kind, Source
from audit.rates import has_exported_too_often, is_refused_too_often
from audit.services import record_fact, refuse_attempt
from audit.tests.making import make_request
from tmsdash.db import clock

pytestmark = pytest.mark.usefixtures("databases")


def leave_entries():
    for what in "attempts", "attempts", "evidence":
        body = {"what": what, "filters": {"note": '"what":"evidence"'}}
        record_fact(Kind.EXPORTED, body, actor=Actor(user_id="audrey"), wait_s=20)
    for source in Source.FORM, Source.API, Source.BATCH:
        body = {"code": 400, "errors": {}, "message": "Wrong."}
        refuse_attempt(*make_request(user_id="audrey", source=source, body=body), wait_s=20)


def told(user_id="audrey"):
    """How many exports of each kind, and refusals, the audit tells of."""
    return [
        next(count for count in range(1, 9) if not reached(count)) - 1
        for reached in (
            lambda count: has_exported_too_often(user_id, "attempts", count),
            lambda count: has_exported_too_often(user_id, "evidence", count),
            lambda count: is_refused_too_often(user_id, count),
        )
    ]


@pytest.mark.postgresql
def test_the_audit_tells_how_often_a_user_did_something_within_a_minute(monkeypatch):
    leave_entries()
    assert told() == [2, 1, 2]  # chunks of batches do not count
    assert told("oscar") == [0, 0, 0]
    later = SimpleNamespace(now=lambda using: clock.now(using) + timedelta(seconds=61))
    monkeypatch.setattr(rates, "clock", later)
    assert told() == [0, 0, 0]


@pytest.mark.sqlite
def test_on_one_host_nobody_asks_the_audit():
    leave_entries()
    assert told() == [0, 0, 0]
