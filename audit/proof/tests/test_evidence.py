"""The evidence pack of an attempt."""

import io
import json
import zipfile

import pytest

from audit.choices import Kind
from audit.models import AuditEntry, ChainHead
from audit.proof.evidence import gather, ticket
from audit.tests.making import make_attempt, refuse, tampering
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import table_missing, text_of

pytestmark = pytest.mark.usefixtures("databases")


@pytest.fixture
def attempt():
    make_attempt()
    rejected = make_attempt(Kind.REJECTED, cids=("a1", "=1"), message="not\nReady", http_status=200)
    make_attempt()
    return rejected


def entries_of(attempt):
    return list(AuditEntry.objects.filter(attempt_id=attempt.attempt_id).order_by("sequence"))


def fetch(client, attempt):
    answer = client.get(f"/attempts/{attempt.attempt_id}/evidence.zip")
    assert answer.status_code == 200
    assert answer["Content-Disposition"] == f'attachment; filename="evidence-{attempt.attempt_id}.zip"'
    return zipfile.ZipFile(io.BytesIO(answer.content))


def test_the_pack_holds_events_ids_macs_verification_and_a_ticket(attempt, audrey):
    pack = fetch(signed_in(audrey), attempt)
    opening, rejected = entries_of(attempt)
    leaves = [f"entries/{entry.sequence}.leaf" for entry in (opening, rejected)]
    assert pack.namelist() == ["ticket.txt", "evidence.json", "customers.csv", *leaves, "SHA256SUMS"]
    content = json.loads(pack.read("evidence.json"))
    assert content["customers"] == ["a1", "=1"]
    assert content["made_by"] == "audrey"
    assert content["attempt"]["outcome"] == "rejected"
    assert [(entry["sequence"], entry["mac"]) for entry in content["entries"]] == [
        (opening.sequence, opening.mac),
        (rejected.sequence, rejected.mac),
    ]
    assert content["entries"][1]["body"] == json.loads(rejected.body)
    verification = content["verification"]
    assert (verification["whole"], verification["problems"]) == (True, [])
    assert verification["anchor"] == f"{rejected.sequence}:{rejected.mac[:16]}"
    head = ChainHead.objects.get()  # moved by the note of the export
    assert verification["head"] == f"{head.sequence}:{head.mac[:16]}"
    assert pack.read("customers.csv").decode() == "customer_id\r\na1\r\n'=1\r\n"


def test_the_ticket_tells_a_stranger_what_happened(attempt):
    opening, rejected = entries_of(attempt)
    assert ticket(gather(attempt)) == (
        f"Attempt {attempt.attempt_id}\n"
        "PE-Enable for 2 customers on https://evian3.example\n"
        f"By olivia, {attempt.created_at.isoformat()}, from 203.0.113.7 (Form)\n"
        f"Outcome: Rejected by TMS, since {attempt.decided_at.isoformat()}\n"
        "Job: none\n"
        "Message: not\\nReady\n"
        "\n"
        "Its events, their places in the audit's chain, its row and its customers were checked: all is as written.\n"
        f"Audit entries {opening.sequence}, {rejected.sequence}, anchor {rejected.sequence}:{rejected.mac[:16]}.\n"
        f"The whole audit is checked by: manage.py audit_verify --anchor {rejected.sequence}:{rejected.mac[:16]}\n"
        "Its evidence pack proves nothing to others yet: the log was never signed. Take another one after the next "
        "seal (manage.py audit_seal).\n"
    )


def test_a_refusal_before_anything_was_read_has_a_pack_too():
    refused = refuse(cids=(), action_code=None, action_name="", cluster_url="", ip_address="")
    assert "An action without a name for 0 customers on no known cluster\n" in ticket(gather(refused))
    assert gather(refused).problems == []


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE audit_auditentry SET user_id = 'eve' WHERE sequence = 3", "Entry 3 was changed: "),
        ("UPDATE audit_auditentry SET key_id = 'x' WHERE sequence = 3", "Entry 3 is signed with the key x, "),
        ("UPDATE audit_auditentry SET mac = 'x' WHERE sequence = 1", "Entry 2 does not follow the entry before it."),
        ("DELETE FROM audit_auditentry WHERE sequence = 1", "Entry 2 does not follow the entry before it."),
        ("UPDATE audit_auditentry SET previous_mac = 'x' WHERE sequence = 4", "What follows entry 3 does not follow"),
        ("UPDATE audit_attempt SET outcome = 'accepted' WHERE outcome = 'rejected'", "Its row says that outcome is "),
        ("DELETE FROM audit_attemptcustomer WHERE cid = '=1'", "The customer index does not hold the ids of entry 2"),
    ],
)
def test_what_is_not_as_it_was_written_is_told(attempt, statement, problem):
    with tampering() as cursor:
        cursor.execute(statement)
        assert cursor.rowcount == 1
    evidence = gather(attempt)
    assert evidence.problems[0].startswith(problem)
    assert "NOT AS IT WAS WRITTEN: " in ticket(evidence)


def test_the_end_of_the_chain_is_compared_with_its_head():
    last = make_attempt()
    assert gather(last).problems == []
    with tampering() as cursor:
        cursor.execute("UPDATE audit_chainhead SET mac = 'x'")
    assert gather(last).problems == ["What follows entry 1 does not follow from it."]


@pytest.mark.parametrize("change", ["key_id = 'x'", "signature = 'x'", "sequence = 99"])
def test_a_head_that_proves_nothing_is_told(attempt, change):
    with tampering() as cursor:
        cursor.execute(f"UPDATE audit_chainhead SET {change}")
    assert gather(attempt).problems == [
        "The end of the chain is not proven: its head was changed, or its key is not known."
    ]


def test_a_fleet_has_a_pack(audrey):
    cids = tuple(f"{number:032x}" for number in range(27_682))
    attempt = make_attempt(cids=cids)
    assert gather(attempt).problems == []
    assert gather(attempt).cids == list(cids)


def test_whoever_takes_it_is_in_the_audit(attempt, olivia, oscar):
    fetch(signed_in(olivia), attempt)
    entry = AuditEntry.objects.get(kind="EXPORTED")
    assert (entry.user_id, json.loads(entry.body)) == (
        "olivia",
        {"attempt_id": str(attempt.attempt_id), "what": "evidence"},
    )
    assert signed_in(oscar).get(f"/attempts/{attempt.attempt_id}/evidence.zip").status_code == 404
    assert AuditEntry.objects.filter(kind="EXPORTED").count() == 1


def test_without_the_audit_there_is_no_pack(attempt, audrey):
    client = signed_in(audrey)
    with table_missing("audit", "audit_chainhead"):
        answer = client.get(f"/attempts/{attempt.attempt_id}/evidence.zip")
    assert answer.status_code == 503
    assert "nothing was exported" in text_of(answer)
