"""What rows do not repeat any more, or store in less room, comes back if the migrations are undone."""

import json
from unittest.mock import Mock

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connections

from audit.choices import Kind
from audit.models import GENESIS, AuditEntry
from audit.proof import append_only
from audit.proof.verification import verify
from audit.tests.making import make_attempt, refuse, tampering
from tmsdash.db.schema import schema_problems

pytestmark = pytest.mark.usefixtures("databases")


def test_digests_of_lists_come_back_from_the_entries_and_go_again():
    make_attempt(Kind.ACCEPTED, Kind.RECORDED)
    make_attempt()
    refuse()
    opening = AuditEntry.objects.filter(kind__in=["INTENT", "REFUSED"]).order_by("sequence")
    digests = [json.loads(body)["list_digest"] for body in opening.values_list("body", flat=True)]
    assert len(digests[0]) == 64
    try:
        call_command("migrate", "audit", "0016", database="audit", verbosity=0)
        with connections["audit"].cursor() as cursor:
            cursor.execute("SELECT list_digest FROM audit_attempt ORDER BY id")
            assert [digest for (digest,) in cursor.fetchall()] == digests
    finally:
        call_command("migrate", "audit", database="audit", verbosity=0)
    assert verify().findings == []
    assert append_only.problems(connections["audit"]) == schema_problems("audit", append_only.PROGRAMS) == []


def test_macs_are_the_same_hex_digits_back_and_forth():
    make_attempt(Kind.ACCEPTED, Kind.RECORDED)
    with tampering() as cursor:
        cursor.execute("UPDATE audit_auditentry SET mac = %s WHERE sequence = 2", [b"\xfe no mac"])
    macs = [*AuditEntry.objects.order_by("sequence").values_list("previous_mac", "mac")]
    assert (macs[0][0], macs[1][1]) == (GENESIS, b"\xfe no mac".hex())
    try:
        call_command("migrate", "audit", "0020", database="audit", verbosity=0)
        assert append_only.problems(connections["audit"]) == []
        with pytest.raises(DatabaseError):  # which commands explain: migrate first
            verify()
        with tampering() as cursor:
            cursor.execute("SELECT previous_mac, mac FROM audit_auditentry ORDER BY sequence")
            assert cursor.fetchall() == macs
            cursor.execute("UPDATE audit_auditentry SET mac = 'ABCD' WHERE sequence = 2")
            cursor.execute("UPDATE audit_auditentry SET previous_mac = 'é' WHERE sequence = 3")
    finally:
        call_command("migrate", "audit", database="audit", verbosity=0)
    macs[1], macs[2] = (macs[1][0], b"ABCD".hex()), ("é".encode().hex(), macs[2][1])
    assert [*AuditEntry.objects.order_by("sequence").values_list("previous_mac", "mac")] == macs
    assert [finding.where for finding in verify().findings] == ["entry 2", "entry 3", "entry 3"]
    assert append_only.problems(connections["audit"]) == schema_problems("audit", append_only.PROGRAMS) == []


@pytest.mark.sqlite
def test_a_gap_in_the_numbers_takes_no_time_and_the_database_goes_on_overwriting_what_it_deletes():
    make_attempt(Kind.ACCEPTED, Kind.RECORDED)
    connection = connections["audit"]
    with tampering() as cursor:
        cursor.execute("UPDATE audit_auditentry SET sequence = 9000000000000000000 WHERE sequence = 3")
        cursor.execute("PRAGMA secure_delete = ON")
    try:
        call_command("migrate", "audit", "0020", database="audit", verbosity=0)
    finally:
        call_command("migrate", "audit", database="audit", verbosity=0)
    assert [*AuditEntry.objects.order_by("sequence").values_list("sequence", flat=True)] == [1, 2, 9 * 10**18]
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA secure_delete")
        assert cursor.fetchone() == (1,)


@pytest.mark.parametrize("direction", ["forwards", "backwards"])
def test_a_migration_that_is_interrupted_leaves_everything_as_it_was(monkeypatch, direction):
    make_attempt(Kind.ACCEPTED, Kind.RECORDED)
    macs = [*AuditEntry.objects.order_by("sequence").values_list("previous_mac", "mac")]
    from_here, there = ("0020", "0021") if direction == "forwards" else ("0021", "0020")
    try:
        call_command("migrate", "audit", from_here, database="audit", verbosity=0)
        with monkeypatch.context() as patched:
            patched.setattr(append_only, "install", Mock(side_effect=KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                call_command("migrate", "audit", there, database="audit", verbosity=0)
        assert append_only.problems(connections["audit"]) == []
    finally:
        call_command("migrate", "audit", database="audit", verbosity=0)
    assert [*AuditEntry.objects.order_by("sequence").values_list("previous_mac", "mac")] == macs
    assert verify().findings == []
