"""The chain as it is written: numbers without gaps, macs that follow from each other, a head that moves along."""

import json
import logging
import uuid
from datetime import UTC, datetime, timedelta, timezone
from unittest import mock

import pytest
from django.db import DatabaseError, IntegrityError, connections, transaction

from audit import chain
from audit.actors import Actor
from audit.choices import Kind
from audit.models import GENESIS, Attempt, AuditEntry, ChainHead
from audit.proof import append_only
from audit.proof.verification import verify
from audit.services import record_fact
from audit.tests.making import make_attempt, open_, refuse, tampering
from tmsdash.db.transactions import write_transaction
from tmsdash.tests.tools import at_once

pytestmark = pytest.mark.usefixtures("databases")
OTHER_KEY = "another key, of at least 32 characters"


def entries():
    return list(AuditEntry.objects.order_by("sequence"))


def test_entries_of_every_origin_follow_each_other():
    make_attempt(Kind.ACCEPTED, Kind.RECORDED)
    refuse()
    record_fact(Kind.SIGNED_OUT, {}, actor=Actor(user_id="olivia"), wait_s=5)
    previous = GENESIS
    for number, entry in enumerate(entries(), start=1):
        assert (entry.sequence, entry.previous_mac) == (number, previous)
        previous = entry.mac
    head = ChainHead.objects.get()
    assert (head.sequence, head.mac) == (5, previous)


def test_every_fact_of_an_entry_is_signed(settings):
    make_attempt()
    [entry] = entries()
    signed = chain.mac_of(settings.AUDIT_KEY, entry)
    assert signed == entry.mac
    others = {
        "sequence": 7,
        "attempt_id": uuid.uuid4(),
        "created_at": entry.created_at + timedelta(microseconds=1),
    } | dict.fromkeys(("previous_mac", "kind", "user_id", "action_type", "ip_address", "body"), "x")
    for name, value in others.items():
        [changed] = entries()
        setattr(changed, name, value)
        assert chain.mac_of(settings.AUDIT_KEY, changed) != signed, name
    assert chain.mac_of(OTHER_KEY, entry) != signed


def test_what_is_rolled_back_leaves_no_gap(caplog):
    caplog.set_level(logging.INFO)
    make_attempt()
    with pytest.raises(RuntimeError), write_transaction("audit"):
        chain.append([chain.new_entry(None, Kind.EXPORTED, "eve", {})])
        raise RuntimeError
    make_attempt()
    assert [entry.kind for entry in entries()] == ["INTENT", "INTENT"]
    assert verify().is_whole
    assert "EXPORTED" not in caplog.text  # an anchor of what is not there would accuse somebody


def test_many_at_once_make_one_chain():
    def write(number):
        record_fact(Kind.SIGNED_IN, {"number": number}, actor=Actor(user_id="u"), wait_s=20)
        make_attempt(Kind.UNKNOWN, cids=(f"c{number}",))

    at_once(12, write)
    found = verify()
    assert (found.is_whole, found.entries, found.attempts) == (True, 36, 12)


def test_the_log_names_the_anchor_of_each_entry(caplog):
    caplog.set_level(logging.INFO)
    attempt = make_attempt(Kind.ACCEPTED)
    for entry in entries():
        line = f"[AUDIT] {entry.kind} {attempt.attempt_id}: anchor={entry.sequence}:{entry.mac[:16]}"
        assert line in [record.getMessage() for record in caplog.records]


# -- Heads that were changed, and keys ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit_chainhead",
        "UPDATE audit_chainhead SET sequence = 1",
        f"UPDATE audit_chainhead SET mac = '{GENESIS}'",
        f"UPDATE audit_chainhead SET signature = '{GENESIS}'",
        f"UPDATE audit_chainhead SET sequence = 0, mac = '{GENESIS}'",
    ],
)
def test_nothing_is_added_to_a_chain_whose_head_is_not_ours(statement):
    make_attempt(Kind.UNKNOWN)
    with tampering() as cursor:
        cursor.execute(statement)
    for write in (make_attempt, refuse, lambda: record_fact(Kind.EXPORTED, {}, actor=Actor(user_id="x"), wait_s=5)):
        with pytest.raises(DatabaseError, match="head of the audit's chain"):
            write()
    assert (AuditEntry.objects.count(), Attempt.objects.count()) == (2, 1)
    assert not verify().is_whole


def test_a_new_key_is_noted_and_the_old_one_still_proves(settings):
    make_attempt()
    old, settings.AUDIT_KEY = settings.AUDIT_KEY, OTHER_KEY
    settings.AUDIT_OLD_KEYS = [old]
    make_attempt()
    make_attempt()
    assert [entry.kind for entry in entries()] == ["INTENT", "SETTING_CHANGED", "INTENT", "INTENT"]
    assert json.loads(entries()[1].body) == {
        "change": "changed",
        "from": chain.id_of_key(old),
        "known": True,
        "to": chain.id_of_key(OTHER_KEY),
        "what": "audit key",
    }
    assert verify().is_whole
    settings.AUDIT_OLD_KEYS = []
    found = verify()
    assert [finding.where for finding in found.findings] == ["entry 1"]
    assert f"is signed with the key {chain.id_of_key(old)}" in found.findings[0].problem


def test_a_head_under_an_old_key_that_was_changed_is_refused_too(settings):
    make_attempt()
    old, settings.AUDIT_KEY = settings.AUDIT_KEY, OTHER_KEY
    settings.AUDIT_OLD_KEYS = [old]
    with tampering() as cursor:
        cursor.execute(f"UPDATE audit_chainhead SET sequence = 0, mac = '{GENESIS}'")
    with pytest.raises(chain.ChainBroken):
        make_attempt()


COLUMNS = "sequence, attempt_id, kind, created_at, user_id, action_type"
REST = "ip_address, body, previous_mac, mac, key_id FROM audit_auditentry WHERE sequence = 2"
INTO = f"INTO audit_auditentry ({COLUMNS}, ip_address, body, previous_mac, mac, key_id)"


# -- Triggers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_auditentry SET user_id = 'eve'",
        "UPDATE audit_auditentry SET sequence = sequence + 100",
        "DELETE FROM audit_auditentry",
        "DELETE FROM audit_auditentry WHERE sequence = 2",
        pytest.param("TRUNCATE audit_auditentry", marks=pytest.mark.postgresql),
        pytest.param("TRUNCATE audit_auditentry CASCADE", marks=pytest.mark.postgresql),
        pytest.param(
            f"INSERT {INTO} SELECT {COLUMNS}, {REST} ON CONFLICT (sequence) DO UPDATE SET user_id = 'eve'",
            marks=pytest.mark.postgresql,
        ),
        *(
            pytest.param(
                f"{insert} {INTO} SELECT {sequence}, attempt_id, kind, created_at, 'eve', action_type, {REST}",
                marks=pytest.mark.sqlite,
            )
            for insert in ("REPLACE", "INSERT OR REPLACE")
            for sequence in ("2", "99")  # in the place of the number, or of the attempt's kind
        ),
        pytest.param(
            f"INSERT {INTO} SELECT {COLUMNS}, {REST} ON CONFLICT (sequence) DO UPDATE SET user_id = 'eve'",
            marks=pytest.mark.sqlite,
        ),
        pytest.param("UPDATE OR REPLACE audit_auditentry SET sequence = 1", marks=pytest.mark.sqlite),
    ],
)
def test_the_database_itself_refuses_every_change(statement):
    make_attempt(Kind.ACCEPTED)
    before = list(AuditEntry.objects.order_by("sequence").values())
    with (
        pytest.raises(IntegrityError, match=append_only.REFUSAL),
        transaction.atomic("audit"),
        connections["audit"].cursor() as cursor,
    ):
        cursor.execute(statement)
    assert list(AuditEntry.objects.order_by("sequence").values()) == before
    assert verify().is_whole


@pytest.mark.postgresql
def test_triggers_cannot_be_switched_off_for_a_session():
    make_attempt()
    with (
        pytest.raises(IntegrityError, match=append_only.REFUSAL),
        transaction.atomic("audit"),
        connections["audit"].cursor() as cursor,
    ):
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("DELETE FROM audit_auditentry")


def test_new_entries_are_no_concern_of_the_triggers():
    open_()
    assert append_only.problems(connections["audit"]) == []


@pytest.mark.parametrize(
    "at", [datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2026, 1, 2, 3, 4, 5, 60, tzinfo=UTC)]
)
def test_a_time_is_signed_as_the_database_gives_it_back(at):
    with mock.patch("django.utils.timezone.now", return_value=at):
        make_attempt(Kind.UNKNOWN)
    assert verify().is_whole
    assert chain.stored_time(at.astimezone(timezone(timedelta(hours=2)))) == chain.stored_text(f"{at:%F %T}.{at:%f}")
