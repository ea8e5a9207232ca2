"""What the plain statements write is, column by column, what Django's ORM writes of the same attempts."""

import uuid
from contextlib import closing
from datetime import UTC, datetime
from unittest import mock

import pytest
from django.conf import settings
from django.db import connections
from django.test.utils import CaptureQueriesContext

from audit import chain, services
from audit.actors import Actor
from audit.choices import Kind, Outcome, Source
from audit.digests import canonical
from audit.models import Attempt, AttemptCustomer, AuditEntry, ChainHead, segment_of
from audit.services import record_fact
from audit.tests.making import make_attempt, make_request, open_, refuse
from tmsdash.tests.snapshots import snapshot_of

pytestmark = pytest.mark.usefixtures("databases")
TIMES = [datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2026, 1, 2, 3, 4, 5, 60, tzinfo=UTC)]
CIDS = ("b2", "a1", "é", "\u202e", "'", '"', "%s", "\U0001f642")
ATTEMPT_ID = uuid.uuid4()
MODELS = (AuditEntry, Attempt, AttemptCustomer, ChainHead)


def stored(model):
    """All rows, as the database holds them, but for the ids that it chooses."""
    owners = dict(Attempt.objects.values_list("pk", "attempt_id"))
    rows = [*model.objects.order_by("pk").values()]
    for row in rows:
        row.pop("id", None)
        row.pop("pk", None)
        if model is AttemptCustomer:
            row["attempt_id"] = owners[row["attempt_id"]]
    return rows


def write_by_product(ids, at):
    with mock.patch("django.utils.timezone.now", return_value=at):
        _, known = open_(make_request(attempt_id=ids[0], cids=CIDS, user_id="olivia é", source=Source.API))
        answer = {"http_status": 200, "message": "ok", "data": {"success": True, "x": "\u2028é"}}
        services.record_events(
            ids[0], [(Kind.UNKNOWN, {"http_status": 500, "message": "a\nb"})], wait_s=20, known=known
        )
        services.record_events(ids[0], [(Kind.ACCEPTED, answer), (Kind.RECORDED, {})], wait_s=20)
        refuse(attempt_id=ids[1], action_code=None, action_name="", cids=())
        record_fact(Kind.SIGNED_IN, {"a": 1}, actor=Actor(user_id="x" * 150, ip_address="2001:db8::1"), wait_s=20)


class ByModel:
    """The same rows, by the models' own `save`."""

    def __init__(self, at):
        self.at, self.head = at, ChainHead.objects.get()

    def attempt(self, request, **state):
        body = request.body
        names = ("action_code", "action_name", "cluster_url", "customer_count", "payload_digest")
        columns = {name: body[name] for name in names} | {"source": body["source"], "created_at": self.at}
        actor = {"user_id": request.actor.user_id, "ip_address": request.actor.ip_address}
        attempt = Attempt.objects.create(attempt_id=request.attempt_id, **actor, **columns, **state)
        for cid in sorted(body["cids"]):
            AttemptCustomer.objects.create(segment=segment_of(attempt.pk), attempt=attempt, cid=cid)
        return attempt

    def entry(self, attempt_id, kind, body, user_id, **shown):
        entry = AuditEntry(attempt_id=attempt_id, kind=kind, created_at=self.at, user_id=user_id, **shown)
        entry.body, entry.sequence, entry.previous_mac = canonical(body), self.head.sequence + 1, self.head.mac
        entry.key_id = chain.id_of_key(settings.AUDIT_KEY)
        entry.mac = chain.mac_of(settings.AUDIT_KEY, entry)
        entry.save()
        self.head.sequence, self.head.mac = entry.sequence, entry.mac
        self.head.signature = chain.sign_head(settings.AUDIT_KEY, entry.sequence, entry.mac)
        self.head.save()


def write_by_models(ids, at):
    by_model = ByModel(at)
    request = make_request(attempt_id=ids[0], cids=CIDS, user_id="olivia é", source=Source.API)
    is_done = {"outcome": Outcome.ACCEPTED, "decided_at": at, "is_open": False, "job_owed": False}
    by_model.attempt(request, **is_done, http_status=200)
    shown = {"action_type": "PE-Enable", "ip_address": "203.0.113.7"}
    answer = {"http_status": 200, "message": "ok", "data": {"success": True, "x": "\u2028é"}}
    events = {Kind.INTENT: request.body, Kind.UNKNOWN: {"http_status": 500, "message": "a\nb"}}
    for kind, body in (events | {Kind.ACCEPTED: answer, Kind.RECORDED: {}}).items():
        by_model.entry(ids[0], kind, body, "olivia é", **shown)
    refused = make_request(attempt_id=ids[1], action_code=None, action_name="", cids=(), message="The list is empty.")
    state = {"outcome": Outcome.REFUSED, "decided_at": at, "is_open": False, "error_message": "The list is empty."}
    by_model.attempt(refused, **state)
    by_model.entry(ids[1], Kind.REFUSED, refused.body, "olivia", action_type="", ip_address="203.0.113.7")
    by_model.entry(None, Kind.SIGNED_IN, {"a": 1}, "x" * 150, ip_address="2001:db8::1")


@pytest.mark.parametrize("at", TIMES, ids=["a whole second", "microseconds"])
def test_both_write_the_same_rows(at):
    ids, written = (uuid.uuid4(), uuid.uuid4()), []
    with closing(snapshot_of(connections["audit"])) as empty:
        for write in (write_by_product, write_by_models):
            write(ids, at)
            written.append({model.__name__: stored(model) for model in MODELS})
            connections["audit"].close()
            empty.restore()
    assert len(written[0]["AuditEntry"]) == 6
    assert written[0] == written[1]


def test_few_statements_stand_between_the_lock_and_the_commit():
    """Reading and moving the head are shared by all that are written at once."""
    make_attempt(Kind.ACCEPTED, Kind.RECORDED, cids=["before"])  # what an overlap is looked for in
    steps = {
        7: lambda: open_(make_request(attempt_id=ATTEMPT_ID)),
        5: lambda: services.record_events(ATTEMPT_ID, [(Kind.ACCEPTED, {})], wait_s=20),
        3: lambda: record_fact(Kind.EXPORTED, {}, actor=Actor(user_id="x"), wait_s=20),
    }
    for count, write in steps.items():
        with CaptureQueriesContext(connections["audit"]) as captured:
            write()
        texts = [query["sql"] for query in captured if not query["sql"].startswith(("BEGIN", "COMMIT", "SET LOCAL"))]
        assert len(texts) == count, texts
