"""A backup on a host with other keys, and one of an audit whose end no known key proves."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from audit import chain
from audit.models import AuditEntry
from audit.proof.verification import verify
from audit.tests.making import make_attempt, tampering
from setactions.operations.backups.creation import back_up
from setactions.operations.backups.restoration import UNCHANGED
from tmsdash import site_keys

pytestmark = pytest.mark.usefixtures("databases", "nobody_connected")
OTHER = "another key, of at least fifty characters, as a new host makes one"


@pytest.fixture
def backup(tmp_path):
    site_keys.remember()
    make_attempt()
    return str(back_up(tmp_path / "backups").folder)


def restored(*arguments):
    printed = StringIO()
    call_command("restore", *arguments, "--yes", stdout=printed)
    return printed.getvalue()


def test_with_the_old_keys_nothing_is_to_be_said(backup):
    assert "Before anything starts" not in restored(backup)
    assert site_keys.assert_ours()


def test_with_another_secret_key_it_says_so(backup, settings):
    settings.SECRET_KEY = OTHER
    assert "Before anything starts: SECRET_KEY is not this site's" in restored(backup)
    assert verify().is_whole


def test_with_another_audit_key_all_stays_as_it_was_unless_the_key_is_lost(backup, settings):
    lost, settings.AUDIT_KEY = chain.id_of_key(settings.AUDIT_KEY), OTHER
    before = list(AuditEntry.objects.values())
    with pytest.raises(CommandError, match=f"signed with the key {lost}, which is not known here.*{UNCHANGED}"):
        restored(backup)
    assert list(AuditEntry.objects.values()) == before
    with pytest.raises(CommandError, match=f"cannot be acknowledged. Give a reason.*{UNCHANGED}"):
        restored(backup, "--acknowledge-lost", lost)
    restored(backup, "--acknowledge-lost", lost, "--reason", "The host burned down.")
    kinds = [json.loads(entry.body).get("change") for entry in AuditEntry.objects.order_by("sequence")]
    assert kinds == [None, "lost key acknowledged", "restored"]
    assert verify().is_whole
    make_attempt()


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE audit_chainhead SET key_id = 'x'", "The audit's chain ends with the key x, which is not known here."),
        ("UPDATE audit_chainhead SET sequence = 0", "The audit's chain does not end as its head says"),
        ("DELETE FROM audit_auditentry", "The audit's chain does not end as its head says"),
        ("DELETE FROM audit_chainhead", "The head of the audit's chain is missing."),
    ],
)
def test_a_backup_of_an_audit_without_a_proven_end_is_not_called_well(tmp_path, capsys, statement, sentence):
    make_attempt()
    with tampering() as cursor:
        cursor.execute(statement)
    with pytest.raises(SystemExit) as ended:
        call_command("backup", str(tmp_path / "backups"))
    assert (ended.value.code, sentence in capsys.readouterr().err) == (2, True)
