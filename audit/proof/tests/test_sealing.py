"""Each seal signs a checkpoint of a tree over all entries, which others can check; whatever interrupts it."""

import json
import re
import shutil
import subprocess
from base64 import b64encode
from contextlib import nullcontext
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings as site
from django.core.management import CommandError, call_command
from pymerkle import InmemoryTree

from audit import chain
from audit.actors import Actor
from audit.choices import Kind
from audit.models import GENESIS, AuditEntry, ChainHead, MerkleTile, StoredCheckpoint
from audit.proof import sealing, seals
from audit.proof.closed_periods import archive
from audit.proof.sealing import SealedMeanwhileError, seal
from audit.proof.tests.test_verify import restored
from audit.proof.verification import verify, verify_since
from audit.tests.making import make_attempt, tampering
from audit.tests.sealing import back_to_yesterday, head, run
from audit.transparency import checkpoints, signing_key, tiles
from audit.transparency.merkle import is_consistent, is_included
from tmsdash.db.transactions import write_transaction

pytestmark = pytest.mark.usefixtures("databases", "empty_seal_dir", "own_var_dir")

ACTOR = Actor(user_id="ops@host")


@pytest.fixture
def own_var_dir(settings, tmp_path):
    """A folder without a key that signs."""
    settings.VAR_DIR = tmp_path / "var"
    settings.VAR_DIR.mkdir()
    return settings.VAR_DIR


def add(count):
    """Add so many entries at once."""
    entries = [chain.new_entry(None, Kind.SIGNED_OUT, "olivia", {"n": number}) for number in range(count)]
    with write_transaction("audit", 5):
        chain.append(entries)


def leaf_of(entry):
    """The leaf of an entry, made here."""
    at = f"{entry.created_at:%Y-%m-%d %H:%M:%S.%f}"
    attempt_id = entry.attempt_id.hex if entry.attempt_id else ""
    leaf = ["entry", entry.previous_mac, entry.sequence, at, attempt_id, entry.kind, entry.user_id]
    leaf += [entry.action_type, entry.ip_address, entry.body, entry.key_id, entry.mac]
    return json.dumps(leaf, separators=(",", ":")).encode()


def others_tree():
    """The tree over all entries in the database by another implementation."""
    tree = InmemoryTree(algorithm="sha256")
    for entry in AuditEntry.objects.order_by("sequence"):
        tree.append_entry(leaf_of(entry))
    return tree


def last_body(kind):
    return json.loads(AuditEntry.objects.filter(kind=kind).order_by("sequence").last().body)


def test_a_checkpoint_signs_the_tree_over_what_was_there(audited, own_var_dir):
    add(600)
    seals.write_seal(head())  # as an earlier version wrote one, without a checkpoint
    first = seal(ACTOR).checkpoint
    [public] = signing_key.known_public_keys()
    other = others_tree()
    assert (first.size, first.root) == (609, other.get_root(609))
    assert first.origin == public.name == f"tms-dashboard/{sha256(public.key).hexdigest()[:8]}"
    assert first.signature_of(public)
    assert (own_var_dir / "audit_signing_key").stat().st_mode & 0o777 == 0o600
    assert last_body(Kind.SETTING_CHANGED) == {
        **{"change": "set", "from": "", "to": str(public), "what": "audit signing key"}
    }
    noted = last_body(Kind.SEALED)
    line = seals.last_seal()
    assert (noted["number"], noted["signature"], noted["key_id"]) == (2, line.signature, line.key_id)
    assert (noted["size"], noted["root"], noted["public_key"]) == (609, first.root.hex(), str(public))
    assert line.checkpoint == str(first) == str(checkpoints.last())
    second = seal(ACTOR).checkpoint
    assert (second.size, second.root) == (611, others_tree().get_root(611))  # the two entries that note the first
    tree = tiles.tree(second.size)
    assert is_consistent(609, first.root, 611, second.root, tree.consistency(609))
    for index in (0, 255, 256, 610):
        hashed = other.get_leaf(index + 1) if index < 609 else others_tree().get_leaf(index + 1)
        assert is_included(hashed, index, 611, tree.inclusion(index), second.root)
    assert verify().is_whole


def test_openssl_alone_verifies_a_checkpoint_with_the_commands_in_the_documentation(audited, tmp_path):
    seal(ACTOR)
    for option in ("--pem", "--checkpoint"):
        (tmp_path / option[2:]).write_text(run("audit_keys", option)[1], encoding="utf-8")
    page = (Path(site.BASE_DIR) / "docs" / "audit.md").read_text()
    [commands] = [block for block in re.findall(r"^```\n(.*?)^```$", page, re.M | re.S) if "openssl pkeyutl" in block]
    script = f'set -e\nmanage.py() {{ cat "${{2#--}}"; }}\n{commands}'

    def answer():
        ended = subprocess.run([shutil.which("bash"), "-c", script], cwd=tmp_path, capture_output=True, text=True)
        return ended.returncode, ended.stdout + ended.stderr

    assert answer() == (0, "Signature Verified Successfully\n")
    file = tmp_path / "checkpoint"
    file.write_text(file.read_text(encoding="utf-8").replace("\n9\n", "\n8\n", 1), encoding="utf-8")
    assert answer()[0] != 0


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (tiles.Writing, "write_full"),
        (sealing, "write_seal"),
        (checkpoints, "store"),
        (tiles.Writing, "write_tails"),
        (chain.ChainEnd, "save"),
    ],
)
def test_sealing_that_was_interrupted_goes_on_with_the_same_tree(audited, monkeypatch, owner, name):
    first = seal(ACTOR).checkpoint
    add(300)
    before = head().sequence
    with monkeypatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(owner, name, interrupted)
        seal(ACTOR)
    assert (head().sequence, checkpoints.last()) == (before, first)
    make_attempt()
    second = seal(ACTOR).checkpoint
    assert second.root == others_tree().get_root(second.size)
    assert is_consistent(first.size, first.root, second.size, second.root, tiles.tree(second.size).consistency(9))
    assert verify().is_whole
    assert seal(ACTOR).new == 1


def interrupted(*args, **kwargs):
    raise InterruptedError


def new_key(settings, *old):
    """Another key, and what was known of those before it."""
    settings.AUDIT_SIGNING_KEY = b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()
    settings.AUDIT_OLD_SIGNING_KEYS = [str(public) for public in old]


def test_a_new_key_signs_behind_one_that_is_known_under_the_same_name(audited, settings):
    first = seal(ACTOR).checkpoint
    [old] = signing_key.known_public_keys()
    new_key(settings)
    with pytest.raises(
        CommandError, match=r"Nothing was sealed\. The last checkpoint, of 9 entries, is signed neither"
    ):
        call_command("audit_seal")
    assert run("audit_keys")[0] == 3
    new_key(settings, old)
    second = seal(ACTOR).checkpoint
    public, known = signing_key.known_public_keys()
    assert (known, public.name, second.origin) == (old, old.name, first.origin)
    assert second.signature_of(public)
    assert not second.signature_of(old)
    change = last_body(Kind.SETTING_CHANGED)
    assert (change["change"], change["from"], change["to"]) == ("changed", str(old), str(public))
    count = AuditEntry.objects.count()
    seal(ACTOR)
    assert AuditEntry.objects.count() == count + 1  # noted once
    code, printed = run("audit_keys")
    assert code == 0
    assert f"{public}  signs checkpoints\n-----BEGIN PUBLIC KEY-----\n" in printed
    assert f"{old}  signed checkpoints before (AUDIT_OLD_SIGNING_KEYS)\n" in printed
    keys = json.loads(run("audit_keys", "--json")[1])["signing_keys"]
    assert [key["public_key"] for key in keys] == [str(public), str(old)]


def test_only_the_host_that_seals_has_the_key_and_the_others_know_its_public_half(audited, settings, own_var_dir):
    assert signing_key.known_public_keys() == []
    seal(ACTOR)
    [public] = signing_key.known_public_keys()
    (own_var_dir / "audit_signing_key").rename(own_var_dir / "elsewhere")
    assert signing_key.known_public_keys() == [public]
    assert "noted in the chain" in run("audit_keys")[1]
    with pytest.raises(CommandError, match="another one has signed some: seal on the host that has it"):
        call_command("audit_seal")
    assert not (own_var_dir / "audit_signing_key").exists()
    with tampering() as cursor:  # whoever writes to the database without AUDIT_KEY can give no key
        cursor.execute("UPDATE audit_auditentry SET body = replace(body, '+', '-') WHERE kind <> 'INTENT'")
    assert signing_key.known_public_keys() == []
    (own_var_dir / "audit_signing_key").write_text("x")
    with pytest.raises(CommandError, match="does not hold a key"):
        call_command("audit_seal")


def test_two_hosts_that_seal_at_once_sign_one_checkpoint(audited, monkeypatch):
    def other_host_is_faster(*args):
        monkeypatch.undo()
        monkeypatch.setattr(sealing, "alone", lambda *args, **kwargs: nullcontext())
        seal(ACTOR)
        return seals.write_seal(*args)

    monkeypatch.setattr(sealing, "write_seal", other_host_is_faster)
    with pytest.raises(SealedMeanwhileError):
        seal(ACTOR)
    assert StoredCheckpoint.objects.count() == 1
    seal(ACTOR)
    assert verify().is_whole


def test_entries_that_were_archived_before_there_were_checkpoints_are_in_the_tree(old, settings, tmp_path):
    elsewhere = tmp_path / "archives"
    elsewhere.mkdir()
    tree = others_tree()
    archive(5, elsewhere, ACTOR)
    code, printed = run("audit_seal")
    assert code == 3
    assert "not in the archives either" in printed
    assert run("audit_seal", "--archives", str(elsewhere))[0] == 0
    last = checkpoints.last()
    tree.append_entry(leaf_of(AuditEntry.objects.get(sequence=8)))
    assert (last.size, last.root) == (8, tree.get_root())
    assert run("audit_seal")[0] == 0
    assert verify(archive_folder=elsewhere).is_whole


def test_a_restored_backup_goes_on_from_its_own_checkpoint(audited):
    first = seal(ACTOR).checkpoint
    with back_to_yesterday():
        make_attempt()
        lost = seal(ACTOR).checkpoint
    restored()
    make_attempt()
    second = seal(ACTOR).checkpoint
    assert second.root == others_tree().get_root(second.size)
    tree = tiles.tree(second.size)
    assert is_consistent(first.size, first.root, second.size, second.root, tree.consistency(first.size))
    assert not is_consistent(lost.size, lost.root, second.size, second.root, tree.consistency(lost.size))
    found = verify()
    assert (found.is_whole, found.seals, found.superseded) == (True, 3, 1)
    assert seal(ACTOR).new == 1


@pytest.mark.parametrize("is_missing", [False, True])
def test_tiles_that_were_changed_are_found_and_made_anew(audited, is_missing):
    add(300)
    seal(ACTOR)
    tile = MerkleTile.objects.get(level=0, number=1)
    if is_missing:
        tile.delete()
    else:
        MerkleTile.objects.filter(pk=tile.pk).update(hashes=bytes(tile.hashes)[::-1])
    code, printed = run("audit_seal")
    assert code == 3
    assert "nothing was sealed. tiles: " in printed
    assert run("audit_seal", "--rebuild-tree")[0] == 0
    assert checkpoints.last().root == others_tree().get_root(checkpoints.last().size)
    assert run("audit_seal")[0] == 0


def test_after_the_way_back_to_an_earlier_version_checkpoints_come_from_the_seals(audited):
    for _ in range(3):
        seal(ACTOR)
    before = [*StoredCheckpoint.objects.order_by("size").values("size", "root", "note")]
    StoredCheckpoint.objects.all().delete()
    MerkleTile.objects.all().delete()
    assert not verify().is_whole
    code, printed = run("audit_seal")
    assert (code, "audit_seal --rebuild-tree takes it from the seals" in printed) == (3, True)
    assert run("audit_seal", "--rebuild-tree")[0] == 0
    assert [*StoredCheckpoint.objects.order_by("size").values("size", "root", "note")][:3] == before
    assert verify().is_whole


def test_a_checkpoint_that_is_gone_or_another_one_is_not_signed_over(audited):
    seal(ACTOR)
    stored = StoredCheckpoint.objects.get()
    StoredCheckpoint.objects.update(note=stored.note.replace("\n9\n", "\n8\n"))
    code, printed = run("audit_seal")
    assert code == 3
    assert "checkpoint: The checkpoint of 9 entries in the audit's database was changed." in printed
    stored.delete()
    code, printed = run("audit_seal")
    assert code == 3
    assert "checkpoint 9: It is not the one in the database, but entry 11 notes it." in printed
    assert head().sequence == 11


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE audit_merkletile SET hashes = 'text'", "tiles: "),
        ("UPDATE audit_merkletile SET hashes = 5", "tiles: "),
        ("UPDATE audit_merkletile SET number = x'ff'", "tiles: "),
        ("UPDATE audit_storedcheckpoint SET note = x'ff'", "checkpoint: "),
        ("UPDATE audit_storedcheckpoint SET note = 5", "checkpoint: "),
        ("UPDATE audit_storedcheckpoint SET root = 5", "checkpoint: "),
    ],
)
def test_what_fits_no_column_of_the_tree_is_named(audited, statement, problem):
    seal(ACTOR)
    with tampering() as cursor:
        cursor.execute(statement)
    assert run("audit_verify")[0] == 3
    code, printed = run("audit_seal")
    assert (code, problem in printed) == (3, True)
    assert run("audit_keys")[0] in (0, 3)


def test_a_history_that_was_signed_anew_with_the_key_does_not_continue_the_last_checkpoint(audited, settings):
    seal(ACTOR)
    line = forged = seals.last_seal()
    with tampering() as cursor:
        mac = GENESIS
        for entry in AuditEntry.objects.order_by("sequence"):
            entry.previous_mac = mac
            entry.user_id = "eve" if entry.kind == Kind.SIGNED_OUT else entry.user_id
            if entry.kind == Kind.SEALED:
                entry.body = entry.body.replace(line.signature, forged.signature)
            mac = chain.mac_of(settings.AUDIT_KEY, entry)
            cursor.execute(
                "UPDATE audit_auditentry SET previous_mac = %s, mac = %s, user_id = %s, body = %s WHERE sequence = %s",
                [bytes.fromhex(entry.previous_mac), bytes.fromhex(mac), entry.user_id, entry.body, entry.sequence],
            )
            if entry.sequence == line.sequence:
                forged = replace(line, mac=mac, signature="")
                forged = replace(forged, signature=forged.signed_with(settings.AUDIT_KEY))
    seals.path_of(line.key_id).write_text(f"{json.dumps(forged.facts())}\n")
    ChainHead.objects.update(mac=mac, signature=chain.sign_head(settings.AUDIT_KEY, head().sequence, mac))
    assert verify_since(None)[1] == []
    for options in ([], ["--rebuild-tree"]):
        code, printed = run("audit_seal", *options)
        assert (code, StoredCheckpoint.objects.count()) == (3, 1)
        assert "checkpoint: The entries up to 9 are not those that the last checkpoint signed." in printed
