"""How many attempts an export has is in the audit before its first line, and is not counted row by row."""

import json
import re
from datetime import timedelta

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.choices import Action, Kind
from audit.models import Attempt, AuditEntry
from audit.tallies import catch_up
from audit.tests.making import make_attempt, refuse
from tmsdash.db import day_ranges
from tmsdash.tests.fixtures import signed_in

pytestmark = pytest.mark.usefixtures("databases")


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"time": "all"}, 3),
        ({"time": "all", "o": "4"}, 3),
        ({"since": 5}, 2),
        ({"until": 5}, 2),
        ({"since": 6, "until": 6}, 1),
        ({"until": 5, "user_id": "olivia", "action_code__exact": "3"}, 1),
        ({"time": "7", "outcome__exact": "rejected"}, 1),
        ({"time": "7", "outcome__exact": "unknown"}, 0),
        ({"time": "7", "source": "api"}, 1),
        ({"time": "all", "is_open__exact": "0"}, 3),
        ({"q": "olivia"}, 2),
        ({"q": "olivia", "user_id": "olivia", "time": "all", "source": "api"}, 1),
        ({"since": 5, "is_open__exact": "0", "user_id": "olivia"}, 2),
    ],
)
def test_what_is_exported_is_counted_from_tallies_where_they_hold(audrey, monkeypatch, query, count):
    monkeypatch.setattr(day_ranges, "LAG", 0)
    old = make_attempt(Kind.REJECTED, user_id="ruth")
    accepted = make_attempt(Kind.ACCEPTED, Kind.RECORDED, action=Action.T_ENABLE)
    for attempt, days_ago in zip((old, accepted, refuse(source="api")), (6, 5, 0), strict=True):
        Attempt.objects.filter(pk=attempt.pk).update(created_at=timezone.now() - timedelta(days=days_ago))
    catch_up()
    days = {
        name: f"{timezone.now() - timedelta(days=value):%Y-%m-%d}" if isinstance(value, int) else value
        for name, value in query.items()
    }
    with CaptureQueriesContext(connections["audit"]) as captured:
        answer = signed_in(audrey).get("/admin/audit/attempt/export.jsonl", days)
        assert len(b"".join(answer.streaming_content).splitlines()) == count
    assert json.loads(AuditEntry.objects.get(kind="EXPORTED").body)["count"] == count
    # Of the attempts, only those are counted that are in doubt, or on a day that is not tallied: bounded by their keys.
    # Up to a limit they are counted to choose an index, too.
    counted = [query["sql"] for query in captured if re.search(r'COUNT\(.*FROM "audit_attempt"', query["sql"])]
    assert all("is_open" in sql or '"audit_attempt"."id" >=' in sql or "LIMIT 10000" in sql for sql in counted)
    assert any('FROM "audit_tally"' in query["sql"] for query in captured)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"q": "a1"}, 3),
        ({"q": "a1", "time": "7"}, 2),
        ({"q": "a1", "user_id": "ruth"}, 1),
        ({"q": "olivia", "user_id": "ruth"}, 1),
        ({"q": "olivia"}, 3),  # a customer is called like a user
        ({"q": "nobody"}, 0),
    ],
)
def test_what_is_found_by_a_term_is_counted_as_it_is_exported(audrey, query, count):
    old = make_attempt(Kind.REJECTED, user_id="ruth", cids=("a1", "olivia"))
    Attempt.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=8))
    make_attempt(Kind.ACCEPTED, Kind.RECORDED)
    make_attempt()
    answer = signed_in(audrey).get("/admin/audit/attempt/export.jsonl", query)
    assert len(b"".join(answer.streaming_content).splitlines()) == count
    assert json.loads(AuditEntry.objects.get(kind="EXPORTED").body)["count"] == count
