"""Hex digits that are stored as bytes."""

import pytest
from django.db import connections

from audit.chain import ChainBroken
from audit.choices import Kind
from audit.models import AuditEntry
from audit.proof.verification import verify
from audit.tests.making import make_attempt, tampering
from tmsdash.db.fields import digits_sql
from tmsdash.tests.fixtures import signed_in

pytestmark = pytest.mark.usefixtures("databases")


def test_hex_digits_are_stored_as_half_as_many_bytes_and_found_by_their_digits():
    make_attempt(Kind.ACCEPTED)
    entry = AuditEntry.objects.get(sequence=1)
    with connections["audit"].cursor() as cursor:
        cursor.execute("SELECT mac FROM audit_auditentry WHERE sequence = 1")
        assert cursor.fetchone() == (bytes.fromhex(entry.mac),)
    assert len(entry.mac) == 64
    assert AuditEntry.objects.get(mac=entry.mac) == entry


@pytest.mark.parametrize("digits", ["", "no hex digits", "é", "abc"])
def test_what_is_no_hex_digits_is_no_error_and_matches_nothing(digits):
    make_attempt()
    assert not AuditEntry.objects.filter(mac=digits).exists()


def test_other_spellings_of_the_same_bytes_are_not_the_same_digits():
    make_attempt()
    mac = AuditEntry.objects.get().mac
    assert not AuditEntry.objects.filter(mac__in=[mac.upper(), f" {mac}"]).exists()


@pytest.mark.sqlite
@pytest.mark.parametrize("stored", ["x", "", "é", "0" * 64, 7, 0.5, b"\xff"])
def test_whatever_somebody_writes_there_is_read_in_the_same_way_by_all(stored):
    make_attempt(Kind.ACCEPTED)
    with tampering() as cursor:
        cursor.execute("UPDATE audit_auditentry SET mac = %s WHERE sequence = 2", [stored])
        cursor.execute(f"SELECT {digits_sql('mac', 'sqlite')} FROM audit_auditentry WHERE sequence = 2")
        [digits] = cursor.fetchone()
    assert AuditEntry.objects.get(sequence=2).mac == digits
    assert "entry 2" in {finding.where for finding in verify().findings}


@pytest.mark.sqlite
@pytest.mark.parametrize("column", ["mac", "previous_mac"])
def test_a_text_of_the_same_bytes_is_found_and_the_lists_still_answer(adam, column):
    attempt = make_attempt(Kind.ACCEPTED)
    with tampering() as cursor:
        cursor.execute(f"UPDATE audit_auditentry SET {column} = CAST({column} AS TEXT)")
    assert {finding.where for finding in verify().findings} >= {"entry 1", "entry 2"}
    client = signed_in(adam)
    for page in (f"/attempts/{attempt.attempt_id}/", "/admin/audit/auditentry/"):
        assert client.get(page).status_code == 200


@pytest.mark.sqlite
def test_a_head_of_bytes_is_named_and_nothing_goes_on_behind_it():
    make_attempt(Kind.ACCEPTED)
    with tampering() as cursor:
        cursor.execute("UPDATE audit_chainhead SET mac = (SELECT mac FROM audit_auditentry ORDER BY sequence DESC)")
    assert "head" in {finding.where for finding in verify().findings}
    with pytest.raises(ChainBroken, match="was changed"):
        make_attempt()
