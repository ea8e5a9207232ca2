"""The evidence pack is proof to somebody who has nothing but the pack, Python and the public key of the log."""

import ast
import hashlib
import io
import json
import subprocess
import sys
import zipfile
from base64 import b64decode, b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connections

from audit.actors import Actor
from audit.choices import Kind, Outcome
from audit.models import Attempt
from audit.proof import verify
from audit.proof.evidence import gather, ticket
from audit.proof.evidence_pack import pack
from audit.proof.sealing import seal
from audit.tests.making import make_attempt, record, refuse
from audit.transparency import checkpoints, merkle
from audit.transparency.signing_key import known_public_keys, pem
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.usefixtures("databases", "empty_seal_dir", "own_var_dir")

ACTOR = Actor(user_id="ops@host")
PROGRAM = Path(verify.__file__).read_bytes()


@pytest.fixture
def own_var_dir(settings, tmp_path):
    """A folder without a key that signs."""
    settings.VAR_DIR = tmp_path / "var"
    settings.VAR_DIR.mkdir()


@pytest.fixture
def attempt():
    """Entries 3 and 4 of six that were signed."""
    make_attempt(Kind.ACCEPTED)
    rejected = make_attempt(Kind.REJECTED, cids=("a1", "007", "'b"), message="not\nReady", http_status=200)
    make_attempt(Kind.ACCEPTED)
    seal(ACTOR)
    return rejected


@pytest.fixture
def checked(tmp_path, capsys):
    """What verify.py says of a pack, in this process."""

    def check(content, *given):
        path = tmp_path / "evidence.zip"
        path.write_bytes(content)
        return refusal_of(path, *given) or capsys.readouterr().out

    return check


def refusal_of(path, *given):
    """What verify.py says of a file that proves nothing; None of one that does."""
    try:
        verify.main(str(path), *given)
    except SystemExit as refusal:
        return str(refusal)
    except Exception as error:  # noqa: BLE001 (the program's hook makes a sentence of it)
        return f"NOT PROVEN: {error!a}"
    return None


def packed(attempt):
    return pack(gather(attempt), "audrey")


def files_of(content):
    """The files in a pack; their digests are made again with it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != "SHA256SUMS"}


def public_key():
    [key] = known_public_keys()
    return key


# -- What it says -------------------------------------------------------------------------------------------------


def run(folder, *arguments):
    """Run the program as a stranger does, with Python alone: without any package, so that openssl has to do."""
    command = [sys.executable, "-I", "-S", "verify.py", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == "" or done.stderr.startswith(("NOT PROVEN: ", "Check an evidence pack")), done.stderr
    return done.returncode, done.stdout + done.stderr


def test_a_stranger_checks_a_pack_with_python_openssl_and_the_key(attempt, audrey, tmp_path):
    content = signed_in(audrey).get(f"/attempts/{attempt.attempt_id}/evidence.zip").content
    (tmp_path / "evidence.zip").write_bytes(content)
    (tmp_path / "key.pem").write_text(pem(public_key()))
    (tmp_path / "verify.py").write_bytes(files_of(content)["verify.py"])
    code, said = run(tmp_path, "evidence.zip", "key.pem")
    at = checkpoints.last().at
    assert code == 0
    assert said.splitlines() == [
        f"Entry 3, {attempt.created_at:%Y-%m-%d %H:%M:%S.%f} UTC: INTENT, by olivia from 203.0.113.7",
        f"Entry 4, {attempt.decided_at:%Y-%m-%d %H:%M:%S.%f} UTC: REJECTED, by olivia from 203.0.113.7",
        "PE-Enable on https://evian3.example for 3 customer(s), by olivia: rejected",
        f"PROVEN: all of this is in the log {public_key().name} of 6 entries, as it was signed at "
        f"{at:%Y-%m-%dT%H:%M:%SZ} by {public_key()}",
        "It is the key given.",
    ]
    code, said = run(tmp_path, "evidence.zip")
    assert (code, said.splitlines()[-1].partition(":")[0]) == (0, "THE PACK BROUGHT THAT KEY")
    signature = b64decode(files_of(content)["checkpoint.txt"].split()[-1])
    forged = files_of(content)
    forged["checkpoint.txt"] = forged["checkpoint.txt"].replace(b64encode(signature), b64encode(signature[::-1]))
    (tmp_path / "evidence.zip").write_bytes(verify.zipped(forged))
    code, said = run(tmp_path, "evidence.zip")
    assert (code, said.partition(": ")[0]) == (1, "NOT PROVEN")
    assert "openssl" in said
    assert run(tmp_path)[0] == 1


def test_the_program_is_that_of_the_pack_and_short_and_for_old_python(attempt):
    assert files_of(packed(attempt))["verify.py"] == PROGRAM
    assert len(PROGRAM.splitlines()) <= 80
    ast.parse(PROGRAM, feature_version=(3, 8))


def test_a_pack_is_the_same_file_whenever_and_wherever_its_zip_is_made(attempt):
    with zipfile.ZipFile(io.BytesIO(packed(attempt))) as archive:
        infos = archive.infolist()
    facts = {(info.date_time, info.create_system, info.external_attr, info.compress_type) for info in infos}
    assert facts == {((1980, 1, 1, 0, 0, 0), 3, 0o644 << 16, zipfile.ZIP_STORED)}


@pytest.mark.parametrize("given", [str, pem])
def test_a_key_that_was_given_another_way_is_compared(attempt, checked, given):
    other = type(public_key())(public_key().name, Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    assert checked(packed(attempt), given(public_key())).endswith("\nIt is the key given.\n")
    assert checked(packed(attempt), given(other)).startswith("NOT PROVEN: the key of the pack is another one, ")


@pytest.mark.parametrize("outcome", Outcome)
def test_it_tells_the_outcome_that_the_site_tells(outcome):
    """Of every outcome, and whatever less trusted events there are beside."""
    kind = outcome.kind
    words, ruling = verify.OUTCOMES.get(kind.value, kind.value), outcome.value.removeprefix("decided_")
    assert words.format(outcome=outcome.value, ruling=ruling).lower() == outcome.value
    order = [Kind.RECORDED, *sorted((kind for kind in Kind if kind.trust), key=lambda kind: kind.trust)]
    assert verify.KINDS.split() == [kind.value for kind in order]
    assert sorted(order, key=lambda kind: verify.KINDS.index(kind.value)) == order


def test_a_refusal_of_nobody_knows_what_is_proven_too(checked):
    refused = refuse(cids=(), action_code=None, action_name="", cluster_url="", ip_address="", message="é\u202e")
    seal(ACTOR)
    assert "\n on  for 0 customer(s), by olivia: refused\nPROVEN: " in checked(packed(refused))


# -- What is not proven -------------------------------------------------------------------------------------------


def test_one_changed_byte_anywhere_is_told_in_a_sentence(attempt, tmp_path):
    content, path = packed(attempt), tmp_path / "evidence.zip"
    path.write_bytes(content)
    assert refusal_of(path) is None
    with path.open("r+b", buffering=0) as file:
        for place, byte in enumerate(content):
            file.seek(place)
            file.write(bytes([byte ^ 1]))
            assert refusal_of(path).startswith("NOT PROVEN: "), place
            file.seek(place)
            file.write(bytes([byte]))
    assert refusal_of(path) is None


def leaf_changed(files):
    files["entries/4.leaf"] = files["entries/4.leaf"].replace(b"olivia", b"oscar")


def path_cut(files):
    proofs = json.loads(files["proofs.json"])
    del proofs["entries"]["4"]["path"][-1]
    files["proofs.json"] = json.dumps(proofs, indent=2).encode()


def path_missing(files):
    files["proofs.json"] = files["proofs.json"].replace(b'"4": {', b'"5": {')


def checkpoint_of_another_log(files):
    """Of one leaf, which is in it."""
    key = Ed25519PrivateKey.generate()
    root = merkle.leaf_hash(files["entries/3.leaf"])
    other = checkpoints.made(public_key().name, 3, root, checkpoints.last().at, key)
    files["checkpoint.txt"] = str(other).encode()


def checkpoint_of_another_time(files):
    files["checkpoint.txt"] = files["checkpoint.txt"].replace(b"\ntime 2", b"\ntime 1")


def another_pem(files):
    files["public_key.pem"] = files["public_key.pem"].swapcase()


def entry_of_another_attempt(files):
    """It is in the log, and its proof holds."""
    other = files_of(packed(Attempt.objects.latest("pk")))
    files["entries/4.leaf"] = other["entries/6.leaf"]
    proofs, others = (json.loads(pack["proofs.json"]) for pack in (files, other))
    proofs["entries"] |= others["entries"]
    files["proofs.json"] = json.dumps(proofs, indent=2).encode()


def evidence_with(old, new):
    def change(files):
        assert files["evidence.json"].count(old) >= 1
        files["evidence.json"] = files["evidence.json"].replace(old, new, 1)

    return change


def customers_changed(files):
    files["customers.csv"] = files["customers.csv"].replace(b"a1", b"a2")


def customers_cut(files):
    files["customers.csv"] = files["customers.csv"].replace(b"'b\r\n", b"")


def key_of_another_name(files):
    """It would say on a terminal that a pack under another key is proven."""
    spoof = f"\r\x1b[2KPROVEN: all of this\nIt is the key given.\x1b[8m+0+{str(public_key()).split('+', 2)[2]}"
    files["public_key.txt"] = spoof.encode()


def leaf_of_another_name(files):
    files["entries/\x1b[2K.leaf"] = files["entries/4.leaf"]


def leaf_twice(files):
    files["entries/5.leaf"] = files["entries/4.leaf"]


def without_entries(files):
    del files["entries/3.leaf"], files["entries/4.leaf"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (leaf_changed, "entries/4.leaf is not in the log that was signed"),
        (path_cut, "entries/4.leaf is not in the log that was signed"),
        (path_missing, "KeyError('4')"),
        (checkpoint_of_another_log, "InvalidSignature()"),
        (checkpoint_of_another_time, "InvalidSignature()"),
        (another_pem, "the pack holds two keys, or "),
        (entry_of_another_attempt, "entries/4.leaf is not in the log that was signed, or is of another attempt."),
        (evidence_with(b'"outcome": "rejected"', b'"outcome": "accepted"'), "evidence.json differs."),
        (evidence_with(b'"customer_count": 3', b'"customer_count": 3.0'), "evidence.json differs."),
        (evidence_with(b'"user_id": "olivia"', b'"user_id": "oscar"'), "evidence.json differs."),
        (evidence_with(b'"user": "olivia"', b'"user": "eve", "user": "olivia"'), "evidence.json differs."),
        (evidence_with(b'    "a1"', b'    "a2"'), "evidence.json differs."),
        (customers_changed, "customers.csv differs."),
        (customers_cut, "customers.csv differs."),
        (key_of_another_name, "the pack holds two keys, or names that would change what a terminal shows."),
        (leaf_of_another_name, "the pack holds two keys, or names that would change what a terminal shows."),
        (leaf_twice, "entries/5.leaf is not in the log that was signed"),
        (without_entries, "IndexError('list index out of range')"),
        (lambda files: files.pop("checkpoint.txt"), "KeyError('checkpoint.txt')"),
    ],
)
def test_a_pack_that_was_forged_and_packed_again_is_told(attempt, checked, change, problem):
    files = files_of(packed(attempt))
    assert checked(verify.zipped(files)).startswith("Entry 3, ")
    change(files)
    assert checked(verify.zipped(files)).startswith(f"NOT PROVEN: {problem}")


def test_what_is_newer_than_the_signature_is_told_by_pack_and_ticket(checked):
    attempt = make_attempt(Kind.UNKNOWN, message="lost", http_status=None)
    before = gather(attempt)
    again = "Take another one after the next seal (manage.py audit_seal).\n"
    assert ticket(before).endswith(
        f"\nIts evidence pack proves nothing to others yet: the log was never signed. {again}"
    )
    assert sorted(files_of(pack(before, "audrey"))) == [
        *("customers.csv", "entries/1.leaf", "entries/2.leaf", "evidence.json", "ticket.txt")
    ]
    seal(ACTOR)
    record(attempt, Kind.APPLIED)
    newer = gather(attempt)
    assert "nothing to others yet: of its audit entries, 5 came after the last signature, of 2" in ticket(newer)
    assert ticket(newer).endswith(again)
    assert checked(pack(newer, "audrey")) == "NOT PROVEN: entry 5 is newer. Take the pack again after the next seal."
    seal(ACTOR)
    assert "python3 verify.py evidence-" in ticket(gather(attempt))
    assert ": applied\nPROVEN: " in checked(packed(attempt))


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE audit_merkletile SET hashes = hashes || hashes WHERE level = 9", ""),
        ("UPDATE audit_merkletile SET hashes = zeroblob(192) WHERE level = 0", "Entry 3 is not in the log that was"),
        ("DELETE FROM audit_merkletile", "Tile 0/0 of the audit's tree is missing"),
        ("UPDATE audit_storedcheckpoint SET size = 5", "The checkpoint of 5 entries in the audit's database was"),
        (
            "UPDATE audit_storedcheckpoint SET note = replace(note, 'time 2', 'time 1')",
            "The last checkpoint of the log",
        ),
    ],
)
@pytest.mark.sqlite
def test_a_log_that_is_not_the_one_that_was_signed_is_told(attempt, statement, problem):
    with connections["audit"].cursor() as cursor:
        cursor.execute(statement)
    evidence = gather(attempt)
    assert [text[: len(problem)] for text in evidence.problems] == [problem] * bool(problem)
    assert ("NOT AS IT WAS WRITTEN: " in ticket(evidence), "verify.py" in ticket(evidence)) == (
        bool(problem),
        not problem,
    )


# -- Where auditors see the key -----------------------------------------------------------------------------------


@pytest.mark.pages
def test_auditors_see_what_others_need_and_what_was_signed_last(audrey):
    client, address = signed_in(audrey), "/admin/audit/auditentry/how-to-check/"
    assert address in client.get("/admin/audit/auditentry/").content.decode()
    assert "The log was not signed yet" in text_of(client.get(address))
    make_attempt(Kind.ACCEPTED)
    seal(ACTOR)
    shown = text_of(client.get(address))
    assert f"Public key {public_key()} " in shown
    assert f"SHA-256 of verify.py {hashlib.sha256(PROGRAM).hexdigest()} " in shown
    assert f"Entries 2 Log {public_key().name} Root {b64encode(checkpoints.last().root).decode()[:12]}… " in shown
    with connections["audit"].cursor() as cursor:
        cursor.execute("UPDATE audit_storedcheckpoint SET size = 5")
    assert "The checkpoint of 5 entries in the audit's database was changed." in text_of(client.get(address))
