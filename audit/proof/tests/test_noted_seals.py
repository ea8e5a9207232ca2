"""Seals that are gone are found, because the chain notes each; and a loss can be acknowledged, but not forgotten."""

import json

import pytest
from django.core.management import CommandError, call_command

from audit import chain
from audit.models import AuditEntry
from audit.proof import seals
from audit.proof.tests.test_verify import restored
from audit.proof.verification import verify
from audit.tests.making import make_attempt, tampering
from audit.tests.sealing import back_to_yesterday, run

pytestmark = pytest.mark.usefixtures("databases", "empty_seal_dir")
LOST = ("--acknowledge-lost-seals", "--reason", "the disk of the seals was replaced")


def problems():
    return [f"{finding.where}: {finding.problem}" for finding in verify().findings]


@pytest.fixture
def file(audited, settings):
    """The file of three seals."""
    for _ in range(3):
        assert run("audit_seal")[0] == 0
    return seals.path_of(chain.id_of_key(settings.AUDIT_KEY))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda file: file.unlink(), "holds no seal, but entry 13 notes seal 3."),
        (lambda file: cut(file, 2), "ends with seal 2, but entry 13 notes seal 3."),
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "ends with seal 2, but entry 13 notes seal 3."),
        (lambda file: (file.unlink(), file.mkdir()), "is no file."),
        (lambda file: (file.unlink(), file.symlink_to("none")), "holds no seal, but entry 13 notes seal 3."),
    ],
)
def test_seals_that_were_taken_away_at_the_end_are_found(file, change, problem):
    assert problems() == []
    change(file)
    assert f"{file.name} {problem}" in problems()[0]
    code, printed = run("audit_seal")  # which would number its seal anew
    assert (code, f"nothing was sealed. seals: {file.name}" in printed) == (3, True)


def cut(file, count):
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:count]))


def test_seals_that_somebody_with_the_key_wrote_anew_are_not_those_that_the_chain_notes(file, settings):
    file.unlink()
    for _ in range(3):
        seals.write_seal(chain.ChainHead.objects.get())
    assert f"{file.name} holds another seal 1 than entry 11 notes." in problems()[0]


@pytest.mark.parametrize("left", [0, 2])
def test_a_loss_is_acknowledged_with_a_reason_and_named_for_ever(file, left):
    cut(file, left)
    with pytest.raises(CommandError, match="Give a reason"):
        call_command("audit_seal", "--acknowledge-lost-seals")
    code, printed = run("audit_seal", *LOST)
    assert (code, f"with 3 seals; {left} were left" in printed) == (0, True)
    assert json.loads(AuditEntry.objects.get(body__contains="lost seals").body)["number"] == 3
    for _ in range(2):
        found = verify()
        assert (found.findings, len(found.lost_seals)) == ([], 1)
        assert "the disk of the seals was replaced" in found.lost_seals[0]
        assert "Lost seals: " in run("audit_verify")[1]
        assert run("audit_seal")[0] == 0
    with pytest.raises(CommandError, match="No seal is missing"):
        call_command("audit_seal", *LOST)
    cut(file, 2)
    assert "ends with seal 2, but entry" in problems()[0]


def test_a_loss_that_nobody_signed_excuses_nothing(file):
    cut(file, 1)
    run("audit_seal", *LOST)
    with tampering() as cursor:
        cursor.execute("UPDATE audit_auditentry SET user_id = 'eve' WHERE body LIKE '%lost seals%'")
    found = problems()
    assert found[0].startswith("entry 14: It was changed")
    assert any("but entry 13 notes seal 3" in problem for problem in found)


def test_a_restored_backup_lacks_no_seals_that_are_of_the_history_that_it_replaced(file):
    with back_to_yesterday():
        make_attempt()
        assert run("audit_seal")[0] == 0
    assert problems()
    restored()
    assert (verify().findings, verify().superseded) == ([], 1)
    assert run("audit_seal")[0] == 0
    assert (verify().findings, verify().lost_seals) == ([], [])


def test_a_backup_that_was_restored_on_another_machine_needs_no_seals_of_the_first_one(file):
    file.unlink()
    restored()
    assert run("audit_seal")[0] == 0
    found = verify()
    assert found.findings == []
    assert "only 0 of 3 seals were in" in found.lost_seals[0]
