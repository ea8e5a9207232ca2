"""What checkpoints say about the entries is compared with these, wherever they were kept."""

import json
from base64 import b64encode
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from audit import chain
from audit.models import MerkleTile, StoredCheckpoint
from audit.proof import seals, stretches, verification
from audit.proof.verification import verify
from audit.tests.making import make_attempt, tampering
from audit.tests.sealing import back_to_yesterday, run
from audit.transparency.notes import Checkpoint

pytestmark = pytest.mark.usefixtures("databases", "empty_seal_dir")


def problems(**kwargs):
    return [f"{finding.where}: {finding.problem}" for finding in verify(**kwargs).findings]


def sealed():
    assert run("audit_seal")[0] == 0
    return Checkpoint.parse(StoredCheckpoint.objects.order_by("size").last().note)


@pytest.fixture
def witness(tmp_path):
    """Keep checkpoints as a witness does; return the name of its file."""

    def keep(*checkpoints):
        file = tmp_path / "witness.txt"
        file.write_text("\n".join(map(str, checkpoints)))
        return str(file)

    return keep


def seal_file(settings):
    return seals.path_of(chain.id_of_key(settings.AUDIT_KEY))


def test_what_was_signed_is_counted_and_fits(audited, witness):
    first = sealed()
    make_attempt()
    name = witness(first, sealed())
    code, printed = run("audit_verify", "--witness", name, "--json")
    facts = json.loads(printed)
    assert (code, facts["checkpoints"], facts["witnesses"], facts["findings"]) == (0, 2, 2, [])
    assert "2 checkpoints and 2 checkpoints of witnesses" in run("audit_verify", "--witness", name)[1]


def test_a_history_that_was_written_anew_with_all_keys_is_found_by_a_witness_alone(audited, witness, settings):
    """The forger has both keys, the database and the folder of the seals, and lets the product itself write."""
    with back_to_yesterday():
        make_attempt(user_id="mallory")
        name = witness(sealed())
    seal_file(settings).unlink()
    make_attempt(user_id="alice")
    sealed()
    make_attempt()
    sealed()
    assert problems() == []
    code, printed = run("audit_verify", "--witness", name)
    assert code == 3
    assert "checkpoint 10: The one in the witness file" in printed
    assert "over other entries than those that are there now, up to entry 10." in printed


def test_databases_that_were_rolled_back_contradict_the_checkpoint_in_the_last_seal(audited, witness, settings):
    first = sealed()
    with back_to_yesterday():
        make_attempt()
        last = sealed()
    found = problems()
    assert f"seal 2 of {seals.last_seal().at} names it, but it is not there" in found[0]
    assert f"The one in {seals.last_seal().name} was signed at" in found[1]
    assert "over 12 entries, but the chain ends with entry 11." in found[1]
    # Without the seal, whose file was put back, too, a witness knows it still.
    lines = seal_file(settings).read_text().splitlines(keepends=True)
    seal_file(settings).write_text(lines[0])
    assert (problems(), run("audit_verify", "--witness", witness(first))[0]) == ([], 0)
    assert "over 12 entries" in run("audit_verify", "--witness", witness(first, last))[1]


SIGNED_BY_NOBODY = "is signed with no key that is known here, or was changed."


def flipped(note):
    """The note with another byte in its signature."""
    checkpoint = Checkpoint.parse(note)
    [signature] = checkpoint.signatures
    content = signature.key_id + signature.content[:-1] + bytes([signature.content[-1] ^ 1])
    return note.replace(note.rsplit(" ", 1)[1], f"{b64encode(content).decode()}\n")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda row: row.update(note="x"), "checkpoint 9: It was changed in the database. This is no checkpoint."),
        (lambda row: row.update(root="ab" * 32), "checkpoint 9: It was changed in the database: it is one of 9"),
        (lambda row: row.update(size=8), "checkpoint 8: It was changed in the database: it is one of 9"),
        (
            lambda row: row.update(created_at=row.get().created_at - timedelta(days=1)),
            "checkpoint 9: It was changed in the database: it is one of 9 entries, signed at",
        ),
        (lambda row: row.delete(), "checkpoint 9: It is not in the database, but entry 11 notes it."),
        (
            lambda row: row.update(note=flipped(row.get().note)),
            f"checkpoint 9: The one in the database {SIGNED_BY_NOBODY}",
        ),
    ],
)
def test_a_checkpoint_in_the_database_that_was_changed_is_found(audited, change, found):
    sealed()
    change(StoredCheckpoint.objects.all())
    assert any(problem.startswith(found) for problem in problems())


def test_checkpoints_of_a_key_that_is_not_known_are_named_with_what_to_do(audited, settings):
    sealed()
    settings.AUDIT_SIGNING_KEY = b64encode(bytes(32)).decode()
    [found] = problems()
    assert SIGNED_BY_NOBODY in found
    assert found.endswith("If that key was the log's, add its public half to AUDIT_OLD_SIGNING_KEYS.")


@pytest.mark.parametrize("change", ["DELETE FROM audit_merkletile", "UPDATE audit_merkletile SET hashes = X'00'"])
@pytest.mark.sqlite
def test_a_tile_that_was_changed_is_found_and_can_be_made_anew(audited, change):
    sealed()
    with tampering() as cursor:
        cursor.execute(change)
    [found] = problems()
    assert found.startswith("tiles: Tile 0/0 of the Merkle tree is not what the entries make")
    assert run("audit_seal")[0] == 3
    assert run("audit_seal", "--rebuild-tree")[0] == 0
    assert problems() == []


def test_workers_hand_over_the_leaves(audited, monkeypatch):
    """Roots are made across stretches of any length, and so are tiles."""
    for _ in range(2):
        sealed()
        make_attempt()
    monkeypatch.setattr(stretches, "MIN_ENTRIES", 0)
    monkeypatch.setattr(stretches, "cores", lambda: 2)
    monkeypatch.setattr(verification, "Workers", AtHome)
    for length in (1, 4, 7):
        monkeypatch.setattr(stretches, "LENGTH", length)
        assert problems() == []
    MerkleTile.objects.update(hashes=b"")
    [tiles] = problems()
    assert tiles.startswith("tiles: Tile 0/0")
    with tampering() as cursor:
        cursor.execute("UPDATE audit_auditentry SET user_id = 'eve' WHERE sequence = 10")
    assert [problem.partition(":")[0] for problem in problems()][:2] == ["entry 10", "checkpoint 12"]


class AtHome:
    """Workers that are none: this process does their work."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def answers(self, work, tasks):
        return ((task, stretches._prove(task)) for task in tasks)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "holds no checkpoint"),
        (b"\xff\xfe", "is no file of a witness"),
        (b"x\n", "ends in the middle of a checkpoint"),
        (b"x\n\ny\n", "is not what a witness writes. This is no checkpoint"),
    ],
)
def test_what_is_no_file_of_a_witness_is_refused(tmp_path, content, sentence):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(CommandError, match=sentence):
        call_command("audit_verify", "--witness", str(tmp_path / "file"))
    with pytest.raises(CommandError, match="is no file of a witness"):
        call_command("audit_verify", "--witness", str(tmp_path))
