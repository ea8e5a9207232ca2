"""With a key of the audit that is not known nothing is sent, by page, script or command, until it is acknowledged."""

import pytest
from django.core.management import CommandError, call_command

from audit.models import Attempt, AuditEntry
from audit.tests.making import tampering
from jobs.models import Job
from setactions.operations import health

NOBODYS = "f" * 16


@pytest.fixture
def unknown(fetch, tms):
    """One accepted action; then its head is given to a key that nobody has."""
    assert fetch(cids=["a1"]).json()["outcome"] == "accepted"
    with tampering() as cursor:
        cursor.execute("UPDATE audit_chainhead SET key_id = %s", [NOBODYS])
    tms.reset()


def test_a_script_is_told_that_the_audit_cannot_be_written_and_nothing_is_sent(unknown, fetch, tms):
    entries = AuditEntry.objects.count()
    answer = fetch(cids=["b2"])
    assert (answer.status_code, answer.json()["outcome"]) == (503, "refused")
    assert "nothing was sent" in answer.json()["message"]
    assert (tms.calls(), Job.objects.count(), Attempt.objects.count()) == ([], 1, 1)
    assert AuditEntry.objects.count() == entries


@pytest.mark.parametrize(
    "column", [f"key_id = '{NOBODYS}'", "key_id = ''", "signature = 'x'", "sequence = sequence - 1"]
)
def test_health_says_that_the_audit_cannot_be_written(fetch, client, column, monkeypatch):
    monkeypatch.setattr(health, "WRITABLE_FOR_S", 0)
    assert fetch(cids=["a1"]).json()["outcome"] == "accepted"
    assert client.get("/health").status_code == 200
    with tampering() as cursor:
        cursor.execute(f"UPDATE audit_chainhead SET {column}")
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["read_only"]) == (503, "audit")


@pytest.mark.parametrize("command", ["reconcile", "set_action_batch none.csv --user olivia", "audit_export"])
def test_commands_name_the_key_that_they_lack(unknown, command):
    with pytest.raises(CommandError, match=f"the audit's chain ends with the key {NOBODYS}, which is neither"):
        call_command(*command.split())


def test_once_the_loss_is_acknowledged_actions_are_sent_again(unknown, fetch, tms):
    call_command("audit_keys", "--acknowledge-lost", NOBODYS, "--reason", "Somebody changed the database.", "--yes")
    assert fetch(cids=["b2"]).json()["outcome"] == "accepted"
    assert len(tms.calls()) == 1
    call_command("reconcile")
