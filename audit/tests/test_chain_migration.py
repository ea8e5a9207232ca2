"""The migration that chains what was there before there was a chain."""

import uuid
from datetime import UTC, datetime

import pytest
from django.core.management import call_command
from django.db import connections

from audit.actors import Actor
from audit.choices import Kind
from audit.models import Attempt, AuditEntry
from audit.proof.verification import verify
from audit.services import record_events, record_fact
from audit.tests.making import make_attempt

pytestmark = pytest.mark.usefixtures("databases")


CHAIN = ["audit_chainhead", *(f"audit_auditentry.{name}" for name in ("previous_mac", "mac", "key_id", "sequence"))]


def migrate(*name):
    call_command("migrate", "audit", *name, database="audit", verbosity=0, discard=CHAIN)


def insert(cursor, table, **values):
    marks = ", ".join(["%s"] * len(values))
    cursor.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", list(values.values()))


def test_entries_that_are_there_are_numbered_in_order_and_chained():
    first, second = make_attempt(Kind.ACCEPTED, Kind.RECORDED), make_attempt(Kind.UNKNOWN)
    record_fact(Kind.SIGNED_OUT, {}, actor=Actor(user_id="olivia"), wait_s=5)
    facts = list(AuditEntry.objects.order_by("sequence").values("attempt_id", "kind", "created_at", "body", "user_id"))
    try:
        migrate("0003_facts_without_attempt")
        with connections["audit"].cursor() as cursor:
            cursor.execute("UPDATE audit_auditentry SET id = id + 100 WHERE id > 2")  # what was rolled back left gaps
            # As it was: the row was made a moment after its entry.
            cursor.execute("UPDATE audit_attempt SET created_at = %s", [datetime(2026, 1, 1, 12, tzinfo=UTC)])
            attempt_id = uuid.uuid4().hex if connections["audit"].vendor == "sqlite" else uuid.uuid4()
            values = {"attempt_id": attempt_id, "kind": "SIGNED_IN", "user_id": "x", "action_type": "", "body": "{}"}
            whole_second = datetime(2026, 1, 1, 12, tzinfo=UTC)
            insert(cursor, "audit_auditentry", id=500, created_at=whole_second, ip_address="", **values)
            cursor.execute("UPDATE audit_auditentry SET attempt_id = NULL WHERE id = 500")
    finally:
        migrate()
    after = list(AuditEntry.objects.order_by("sequence").values("attempt_id", "kind", "created_at", "body", "user_id"))
    assert after[:-1] == facts
    assert list(AuditEntry.objects.order_by("sequence").values_list("sequence", flat=True)) == [1, 2, 3, 4, 5, 6, 7]
    found = verify()
    assert (found.findings, found.entries) == ([], 7)
    for attempt in (first, second):
        attempt.refresh_from_db()
        assert attempt.created_at == AuditEntry.objects.get(attempt_id=attempt.attempt_id, kind="INTENT").created_at
    record_events(second.attempt_id, [(Kind.APPLIED, {"http_status": None})], wait_s=5)
    assert verify().is_whole
    assert Attempt.objects.count() == 2
