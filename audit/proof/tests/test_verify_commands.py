"""audit_verify and audit_seal as they are run: exit codes, sentences, the anchors of a log, and the file of seals."""

import json

import pytest
from django.core.management import CommandError, call_command

from audit import chain
from audit.actors import Actor
from audit.choices import Kind
from audit.proof import seals
from audit.proof.verification import verify
from audit.services import record_fact
from audit.tests.making import make_attempt, tampering
from audit.tests.sealing import CHANGED, back_to_yesterday, head, run

pytestmark = pytest.mark.usefixtures("databases", "empty_seal_dir")


def test_the_command_says_that_it_is_whole(audited):
    code, printed = run("audit_verify")
    assert code == 0
    assert printed == (
        "The audit is whole: 9 entries, 4 attempts, 0 archives, 0 seals, 0 anchors, 0 checkpoints and 0 checkpoints of "
        f"witnesses. Its last entry is 9:{head().mac[:16]}: keep that elsewhere.\n"
    )
    code, printed = run("audit_verify", "--json", "--anchor", f"9:{head().mac}")
    assert (code, json.loads(printed)["whole"], json.loads(printed)["anchors"]) == (0, True, 1)


def test_the_command_ends_with_3_and_names_the_first_bad_entry(audited):
    with tampering() as cursor:
        cursor.execute("UPDATE audit_auditentry SET user_id = 'eve' WHERE sequence IN (2, 5)")
    code, printed = run("audit_verify")
    assert code == 3
    assert printed.startswith("The audit is BROKEN. First bad: entry 2. ")
    assert f"  entry 5: {CHANGED}\n" in printed
    code, printed = run("audit_verify", "--json")
    result = json.loads(printed)
    assert (code, result["whole"], result["first_bad"], result["finding_count"]) == (3, False, "entry 2", 2)
    assert result["findings"][0] == {"where": "entry 2", "problem": CHANGED}


def test_of_many_findings_the_first_are_shown(audited):
    with tampering() as cursor:
        cursor.execute("UPDATE audit_auditentry SET user_id = 'eve'")
        cursor.execute("UPDATE audit_attempt SET user_id = 'adam'")
    for _ in range(60):
        record_fact(Kind.EXPORTED, {}, actor=Actor(user_id="x"), wait_s=5)
    with tampering() as cursor:
        cursor.execute("UPDATE audit_auditentry SET user_id = 'eve'")
    code, printed = run("audit_verify")
    assert code == 3
    assert printed.count("\n  ") == 51
    assert "… and " in printed


def seal_file(settings):
    return seals.path_of(chain.id_of_key(settings.AUDIT_KEY))


def test_sealing_writes_a_signed_line_to_file_and_log_also_of_nothing_new(audited, settings, caplog):
    caplog.set_level("INFO")
    anchor = f"9:{head().mac[:16]}"
    code, printed = run("audit_seal")
    words = f"Sealed: number 1, 9 new entries, the last is {anchor}. The checkpoint of 9 entries has the root "
    assert (code, printed[:-66], printed[-2:]) == (0, words, ".\n")
    end = head()  # the seal was noted
    code, printed = run("audit_seal", "--json")
    seal = json.loads(printed)
    assert (code, seal["number"], seal["sequence"], seal["mac"]) == (0, 2, 11, end.mac)
    lines = [json.loads(line) for line in seal_file(settings).read_text().splitlines()]
    assert [line["number"] for line in lines] == [1, 2]
    assert lines[1] == seal
    assert lines[1]["previous"] == lines[0]["signature"]
    assert f"[AUDIT] SEALED: number=2, anchor=11:{end.mac[:16]}, signature={seal['signature']}" in caplog.text
    assert verify().seals == 2


def test_an_empty_audit_can_be_sealed(settings):
    assert run("audit_seal")[0] == 0
    make_attempt()
    found = verify()
    assert (found.is_whole, found.seals) == (True, 1)


def test_what_is_broken_is_not_sealed(audited, settings):
    assert run("audit_seal")[0] == 0
    make_attempt()
    with tampering() as cursor:
        cursor.execute("UPDATE audit_auditentry SET user_id = 'eve' WHERE sequence = 10")
    code, printed = run("audit_seal")
    assert code == 3
    assert f"nothing was sealed. entry 10: {CHANGED}" in printed
    assert len(seal_file(settings).read_text().splitlines()) == 1


def test_a_chain_that_is_shorter_than_its_last_seal_is_not_sealed(audited):
    with back_to_yesterday():
        make_attempt()
        assert run("audit_seal")[0] == 0
    assert run("audit_seal")[0] == 3


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda lines: [lines[0], lines[2]], "line 2: this is seal 3 of"),
        (lambda lines: lines[1:], "line 1: this is seal 2 of"),
        (
            lambda lines: [lines[0].replace('"sequence": 9', '"sequence": 8'), *lines[1:]],
            "line 1: the seal was changed",
        ),
        (lambda lines: [lines[0], "{}", lines[2]], "line 2: this is no seal."),
        (lambda lines: ["x", *lines[1:]], "line 1: this is no seal."),
        (lambda lines: ["[" * 100_000, *lines[1:]], "line 1: this is no seal."),
        (lambda lines: [lines[0].replace('"number": 1', '"number": "1"'), *lines[1:]], "line 1: this is no seal."),
        (lambda lines: [lines[0].replace('"number": 1', f'"number": {1 << 64}'), *lines[1:]], "line 1: this is no"),
        (lambda lines: [lines[0].replace('"at": "', r'"at": "\ud800'), *lines[1:]], "line 1: this is no seal."),
        (lambda lines: [f"{lines[0]}\x0b", *lines[1:]], "line 1: this is no seal."),
        (lambda lines: [lines[0], lines[2], lines[1]], "line 2: this is seal 3 of"),
    ],
)
def test_seals_that_are_changed_or_missing_are_found(audited, settings, change, problem):
    for _ in range(3):
        run("audit_seal")
    file = seal_file(settings)
    file.write_text("".join(f"{line}\n" for line in change(file.read_text().splitlines())))
    assert problem in verify().findings[0].problem


def test_a_seal_that_a_crash_cut_off_is_written_anew(audited, settings):
    run("audit_seal")
    file = seal_file(settings)
    with file.open("a") as half:
        half.write('{"number": 2, "at"')
    assert verify().is_whole
    run("audit_seal")
    assert verify().seals == 2
    assert file.read_text().count("\n") == 2


def test_a_folder_that_cannot_hold_seals_is_named(audited, settings, tmp_path):
    (tmp_path / "file").touch()
    settings.AUDIT_SEAL_DIR = tmp_path / "file" / "seals"
    with pytest.raises(CommandError, match="AUDIT_SEAL_DIR: .*file"):
        call_command("audit_seal")
