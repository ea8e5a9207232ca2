"""A key that is not known breaks the chain, until a person acknowledges that it is lost, which is named for ever."""

import io
import json
import sys
from datetime import timedelta
from unittest import mock

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from audit import chain
from audit.actors import Actor
from audit.choices import Kind
from audit.models import GENESIS, Attempt, AuditEntry, ChainHead
from audit.proof import seals
from audit.proof.verification import verify
from audit.services import record_fact
from audit.tests.making import make_attempt, tampering
from audit.tests.sealing import run

pytestmark = pytest.mark.usefixtures("databases", "empty_seal_dir")

OTHER_KEY = "another key, of at least 32 characters"
THIRD_KEY = "a third key, of at least 32 characters"
NOBODYS = "f" * 16
REASON = "The host burned down with its key."


def cut_off_the_last_attempt(key_id=NOBODYS):
    """Remove the last attempt's rows without any key, and say that a key signed the head that nobody has."""
    last = Attempt.objects.latest("pk")
    with tampering() as cursor:
        cursor.execute("DELETE FROM audit_attemptcustomer WHERE attempt_id = %s", [last.pk])
        cursor.execute("DELETE FROM audit_attempt WHERE id = %s", [last.pk])
        cursor.execute("DELETE FROM audit_auditentry WHERE sequence > 7")
        mac = AuditEntry.objects.get(sequence=7).mac
        cursor.execute("UPDATE audit_chainhead SET sequence = 7, key_id = %s, mac = %s", [key_id, mac])


def acknowledge(key_id, *arguments):
    return run("audit_keys", "--acknowledge-lost", key_id, "--reason", REASON, "--yes", *arguments)


def lose_the_key(settings):
    """Go on with another key, as an installation whose VAR_DIR is gone; return the lost key's id."""
    lost, settings.AUDIT_KEY = settings.AUDIT_KEY, OTHER_KEY
    return chain.id_of_key(lost)


def findings():
    return [f"{finding.where}: {finding.problem}" for finding in verify().findings]


# -- A key that is not known ----------------------------------------------------------------------------------------


def test_the_end_cannot_be_cut_off_by_naming_a_key_that_nobody_has(audited):
    run("audit_seal")
    cut_off_the_last_attempt()
    for write in (make_attempt, lambda: record_fact(Kind.EXPORTED, {}, actor=Actor(user_id="x"), wait_s=5)):
        with pytest.raises(chain.ChainBroken, match=f"signed with the key {NOBODYS}, which is not known here"):
            write()
    assert AuditEntry.objects.count() == 7
    assert f"head: It is signed with the key {NOBODYS}, which is not known." in findings()
    assert run("audit_verify")[0] == run("audit_seal")[0] == run("audit_keys")[0] == 3
    assert seals.last_seal().number == 1


@pytest.mark.parametrize("key_id", ["", "x", "F" * 16, "0" * 16, "'; --"])
def test_no_spelling_of_a_key_gets_past(audited, key_id):
    cut_off_the_last_attempt(key_id)
    with pytest.raises(chain.ChainBroken):
        make_attempt()
    assert run("audit_verify")[0] == 3


def test_after_a_lost_key_nothing_is_added_and_the_old_one_mends_it(settings):
    make_attempt()
    lost = settings.AUDIT_KEY
    lose_the_key(settings)
    with pytest.raises(chain.ChainBroken):
        make_attempt()
    assert not verify().is_whole
    settings.AUDIT_OLD_KEYS = [lost]
    make_attempt()  # a rotation needs no acknowledgement
    assert verify().is_whole
    assert run("audit_keys")[0] == 0


# -- Acknowledging --------------------------------------------------------------------------------------------------


def test_an_acknowledged_loss_lets_the_site_go_on_and_is_named_for_ever(audited, settings):
    lost = lose_the_key(settings)
    code, printed = acknowledge(lost)
    assert code == 0
    assert f"Entries from 1 to 9 cannot be checked: the key {lost} was acknowledged as lost by " in printed.replace(
        "9 entries", "Entries"
    )
    entry = AuditEntry.objects.latest("sequence")
    body = json.loads(entry.body)
    assert (entry.sequence, entry.kind, entry.key_id) == (10, "SETTING_CHANGED", chain.id_of_key(OTHER_KEY))
    assert (body["change"], body["key_id"], body["reason"]) == ("lost key acknowledged", lost, REASON)
    assert (body["last"], body["mac"]) == (9, AuditEntry.objects.get(sequence=9).mac)
    assert body["by"] == entry.user_id
    assert "@" in body["by"]  # the operating system's user and host
    for _ in range(2):
        make_attempt()
        code, printed = run("audit_verify")
        assert (code, "The audit is whole" in printed) == (0, True)
        assert f"Lost key: 9 entries from 1 to 9 cannot be checked: the key {lost}" in printed
        assert REASON in printed
    found = json.loads(run("audit_verify", "--json")[1])
    assert (found["unchecked"], [key["key_id"] for key in found["lost_keys"]]) == (9, [lost])
    assert run("audit_seal")[0] == 0
    settings.AUDIT_OLD_KEYS, settings.AUDIT_KEY = [OTHER_KEY], THIRD_KEY
    make_attempt()
    assert REASON in run("audit_verify")[1]


def test_a_lost_key_that_is_found_again_proves_again(audited, settings):
    lost = settings.AUDIT_KEY
    acknowledge(lose_the_key(settings))
    settings.AUDIT_OLD_KEYS = [lost]
    found = verify()
    assert (found.findings, found.unchecked, len(found.lost_keys)) == ([], 0, 1)


def test_an_acknowledged_cut_says_that_the_end_may_be_missing(audited):
    cut_off_the_last_attempt()
    assert acknowledge(NOBODYS)[0] == 0
    make_attempt()
    code, printed = run("audit_verify")
    assert (code, "nothing proves that the chain ended with entry 7" in printed.lower()) == (0, True)


def test_nothing_can_be_excused_by_a_lost_key_that_signed_nothing(audited):
    cut_off_the_last_attempt()
    acknowledge(NOBODYS)
    with tampering() as cursor:
        cursor.execute("UPDATE audit_auditentry SET key_id = %s, user_id = 'eve' WHERE sequence = 7", [NOBODYS])
    assert findings()[0].startswith("entry 7: It, or another one up to entry 7 that the lost key ")


def test_a_seal_still_tells_of_an_acknowledged_cut(audited):
    run("audit_seal")
    cut_off_the_last_attempt()
    acknowledge(NOBODYS)
    make_attempt()
    assert run("audit_verify")[0] == 3
    assert "names another entry with this number" in findings()[0]


@pytest.mark.parametrize(
    ("statement", "where"),
    [
        ("UPDATE audit_auditentry SET user_id = 'eve' WHERE sequence = 4", "entry 1"),
        ("UPDATE audit_auditentry SET mac = previous_mac WHERE sequence = 4", "entry 5"),
        ("DELETE FROM audit_auditentry WHERE sequence = 4", "entry 5"),
        ("DELETE FROM audit_auditentry WHERE sequence = 9", "entry 10"),
        ("UPDATE audit_auditentry SET body = replace(body, 'burned', 'turned') WHERE sequence = 10", "entry 1"),
        ("UPDATE audit_auditentry SET key_id = '{lost}' WHERE sequence = 12", "entry 12"),
        ("UPDATE audit_auditentry SET key_id = '{lost}' WHERE sequence = 10", "entry 1"),
    ],
)
def test_what_is_forged_under_a_lost_key_afterwards_is_found(audited, settings, statement, where):
    lost = lose_the_key(settings)
    acknowledge(lost)
    make_attempt(Kind.REJECTED)
    assert verify().is_whole
    with tampering() as cursor:
        cursor.execute(statement.format(lost=lost))
    assert findings()[0].startswith(f"{where}: ")


def test_entries_of_a_known_key_cannot_be_excused_by_giving_them_to_a_lost_one(audited, settings):
    old = settings.AUDIT_KEY
    settings.AUDIT_KEY, settings.AUDIT_OLD_KEYS = OTHER_KEY, [old]
    make_attempt()
    settings.AUDIT_KEY, settings.AUDIT_OLD_KEYS = THIRD_KEY, [old]
    lost = chain.id_of_key(OTHER_KEY)
    assert acknowledge(lost)[0] == 0
    assert verify().is_whole
    with tampering() as cursor:
        cursor.execute("UPDATE audit_auditentry SET key_id = %s, user_id = 'eve' WHERE sequence = 4", [lost])
    assert any("was changed after entry 12 acknowledged the loss" in text for text in findings())


def test_the_same_key_named_again_has_to_be_acknowledged_again(audited):
    cut_off_the_last_attempt()
    acknowledge(NOBODYS)
    with tampering() as cursor:
        cursor.execute("UPDATE audit_chainhead SET key_id = %s", [NOBODYS])
    with pytest.raises(chain.ChainBroken):
        make_attempt()
    assert run("audit_verify")[0] == 3
    assert acknowledge(NOBODYS)[0] == 0
    make_attempt()
    assert verify().is_whole
    assert len(verify().lost_keys) == 2


def test_two_keys_can_be_lost_one_after_the_other(audited, settings):
    first = lose_the_key(settings)
    acknowledge(first)
    settings.AUDIT_KEY = THIRD_KEY
    second = chain.id_of_key(OTHER_KEY)
    assert acknowledge(second)[0] == 3  # nothing that is known signed the first acknowledgement
    assert acknowledge(first)[0] == 0
    assert [key.key_id for key in verify().lost_keys] == [second, first]
    assert verify().is_whole


@pytest.mark.parametrize(
    ("key_id", "arguments", "message"),
    [
        (NOBODYS, [], "The chain does not need the key"),
        ("present", [], "is AUDIT_KEY itself"),
        (NOBODYS, ["--reason", "too short"], "at least 10 characters"),
        (NOBODYS, ["--reason", " " * 20], "at least 10 characters"),
    ],
)
def test_what_is_no_loss_is_not_acknowledged(audited, settings, key_id, arguments, message):
    key_id = chain.id_of_key(settings.AUDIT_KEY) if key_id == "present" else key_id
    with pytest.raises(CommandError, match=f"Nothing was acknowledged. .*{message}"):
        acknowledge(key_id, *arguments)
    assert AuditEntry.objects.count() == 9


def test_a_head_that_no_lost_key_explains_is_not_acknowledged(audited):
    with tampering() as cursor:
        cursor.execute("UPDATE audit_chainhead SET sequence = 12, key_id = %s", [NOBODYS])
    with pytest.raises(CommandError, match="the chain ends with entry 12, but it ends with 9"):
        acknowledge(NOBODYS)
    with tampering() as cursor:
        cursor.execute("UPDATE audit_chainhead SET sequence = 9")
        cursor.execute("DELETE FROM audit_auditentry WHERE sequence = 4")
    with pytest.raises(CommandError, match="Entry 4 is missing"):
        acknowledge(NOBODYS)
    with tampering() as cursor:
        cursor.execute("DELETE FROM audit_chainhead")
    with pytest.raises(CommandError, match="The head of the chain is missing"):
        acknowledge(NOBODYS)


def test_nothing_is_acknowledged_without_a_yes(audited, settings, monkeypatch):
    lost = lose_the_key(settings)
    arguments = ("--acknowledge-lost", lost, "--reason", REASON)
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))  # no terminal
    with pytest.raises(CommandError, match="nobody to ask. Give --yes"):
        call_command("audit_keys", *arguments)
    assert ChainHead.objects.get().key_id == lost


# -- Listing, seals and archives ------------------------------------------------------------------------------------


def test_the_keys_are_listed_with_what_they_signed(audited, settings):
    old = settings.AUDIT_KEY
    settings.AUDIT_KEY, settings.AUDIT_OLD_KEYS = OTHER_KEY, [old]
    make_attempt()
    code, printed = run("audit_keys", "--json")
    listed = [(key["key_id"], key["state"], key["first"], key["last"]) for key in json.loads(printed)["keys"]]
    assert listed == [
        (chain.id_of_key(old), "AUDIT_OLD_KEYS", 1, 9),
        (chain.id_of_key(OTHER_KEY), "AUDIT_KEY", 10, 11),
    ]
    assert code == 0
    assert old not in printed
    assert OTHER_KEY not in run("audit_keys")[1]
    settings.AUDIT_OLD_KEYS = []
    code, printed = run("audit_keys")
    assert (code, "not known: signed entries 1 to 9 (9)." in printed) == (3, True)


def test_an_audit_without_entries_can_lose_its_key(settings):
    lost = lose_the_key(settings)
    with pytest.raises(chain.ChainBroken):
        make_attempt()
    assert acknowledge(lost)[0] == 0
    assert verify().is_whole
    assert verify().lost_keys[0].mac == GENESIS


def test_seals_of_a_key_that_is_not_known_are_named(audited, settings):
    run("audit_seal")
    lost = lose_the_key(settings)
    acknowledge(lost)
    code, printed = run("audit_verify")
    assert (code, f"Not looked at, because its key is not known here: seals-{lost}.jsonl" in printed) == (0, True)
    assert json.loads(run("audit_verify", "--json")[1])["not_looked_at"] == [f"seals-{lost}.jsonl"]


def test_archives_of_a_lost_key_are_excused_as_they_were(settings):
    with mock.patch("django.utils.timezone.now", return_value=timezone.now() - timedelta(days=9)):
        make_attempt(Kind.REJECTED)
    make_attempt()
    run("audit_archive", "--before", f"{timezone.now() - timedelta(days=5):%Y-%m-%d}")
    [file] = settings.AUDIT_SEAL_DIR.glob("audit-*.gz")
    lost = lose_the_key(settings)
    assert f"Not looked at, because its key is not known here: {file.name}" in run("audit_verify")[1]
    with pytest.raises(CommandError, match="Entry 1 is missing. If it is in an archive"):
        acknowledge(lost, "--archives", str(settings.AUDIT_SEAL_DIR / "none"))
    assert acknowledge(lost)[0] == 0
    assert findings() == []
    assert verify().unchecked > 0
