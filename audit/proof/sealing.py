"""Sealing: what is new is verified, taken into the Merkle tree, and signed as a checkpoint and in a seal.

1. Nothing is sealed that is broken, or that does not continue the last checkpoint.
2. What a checkpoint covers was verified from the last one on by whoever signs it. If the seal of the last checkpoint is
   not there, because sealing was interrupted or a backup restored, everything is verified, and the tree made anew.
3. First the tiles that are full, then the seal outside the database, then in one transaction the checkpoint, the last
   tiles and an entry that notes both. So what an interruption leaves is less than a checkpoint, and never another one.
4. A checkpoint covers what was there before the entry that notes it.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from django.db import DatabaseError, transaction

from audit import chain
from audit.actors import Actor
from audit.chain import ChainEnd
from audit.choices import Kind
from audit.models import StoredCheckpoint
from audit.proof.findings import Finding
from audit.proof.noted_seals import NotedSeals, noted_in_database
from audit.proof.seals import WAIT_S, Seal, last_seal, read_all, write_seal
from audit.proof.stored import StoredEntry, stored_entries
from audit.proof.stretches import LENGTH, Stretch
from audit.proof.verification import passes_through, verify_since
from audit.transparency import checkpoints, signing_key, tiles
from audit.transparency.growing import HASH_BYTES, Growing, Leaves
from audit.transparency.merkle import is_included, leaf_hash
from audit.transparency.notes import Checkpoint, NoteError, PublicKey
from tmsdash.db.locks import alone
from tmsdash.db.transactions import BUSY_TIMEOUT_S, write_transaction

CHANGED_TILES = (
    "They are not those of the last checkpoint, of {:,} entries. If manage.py audit_verify finds nothing else, "
    "manage.py audit_seal --rebuild-tree makes them anew from the entries."
)


PUT_BACK = "manage.py audit_seal --rebuild-tree takes it from the seals; if they do not hold it, restore a backup."


class BrokenError(Exception):
    """The audit is not whole, so nothing is sealed."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.problem)
        self.finding = finding


class SealedMeanwhileError(DatabaseError):
    """Another host has signed a checkpoint while this one was about to."""


@dataclass(frozen=True)
class Sealed:
    """What was sealed."""

    seal: Seal
    checkpoint: Checkpoint
    new: int
    """How many entries the last seal did not cover."""


def seal(actor: Actor, archive_folder: Path | None = None, *, rebuild_tree: bool = False) -> Sealed:
    """Verify what is new, and sign it: a checkpoint, a seal and an entry that notes them.

    Archives are looked for in `archive_folder`, or in AUDIT_SEAL_DIR, if all entries are looked at. Raises BrokenError,
    SigningKeyError, DatabaseError, WorkerLostError, or OSError with the file that cannot be used.
    """
    with alone("checkpoint", lambda: None, wait_s=WAIT_S):
        if rebuild_tree:
            _put_back()
        before, last = last_seal(), _last_checkpoint()
        key, public = signing_key.signer(last)
        is_continued = before and last and before.sequence == last.size and passes_through(before)
        base = before if is_continued and not rebuild_tree else None
        if base and last:
            _assert_tiles(last)
        leaves = _Kept()
        head, findings = verify_since(base, leaves.keep, archive_folder)
        if findings or head is None:
            raise BrokenError(findings[0])
        if not base and last:
            _assert_continued(last, leaves)
        tree = tiles.growing(base.sequence if base else 0)
        for part in leaves.parts():
            tree.add(part)
        tree.write_full()
        checkpoint = checkpoints.made(public.name, tree.size, tree.root(), datetime.now(UTC), key)
        written = write_seal(head, str(checkpoint))
        _note(written, checkpoint, public, last, tree, actor)
        return Sealed(written, checkpoint, head.sequence - (before.sequence if before else 0))


def _last_checkpoint() -> Checkpoint | None:
    """Return the last checkpoint; raises BrokenError if it is not the one that the chain notes."""
    try:
        last = checkpoints.last()
    except NoteError as error:
        raise BrokenError(Finding("checkpoint", str(error))) from None
    noted = NotedSeals()
    for entry in noted_in_database(only_newest=True):
        noted.take(entry)
    size = max(noted.sizes, default=-1)
    entry_number, root = noted.sizes.get(size, (0, ""))
    if size > _size(last) or (last and size == last.size and last.root.hex() != root):
        problem = f"It is not the one in the database, but entry {entry_number} notes it. {PUT_BACK}"
        raise BrokenError(Finding(f"checkpoint {size}", problem))
    return last


def _put_back() -> None:
    """Take those checkpoints from the seals that the chain notes, and that the database lacks.

    It lacks them after the way back to an earlier version of this product, which has no place for them.
    """
    noted = NotedSeals()
    for entry in noted_in_database():
        noted.take(entry)
    present = {*StoredCheckpoint.objects.values_list("size", flat=True)}
    with write_transaction(chain.DATABASE, BUSY_TIMEOUT_S):
        for seal in (seal for file in read_all() for seal in file.seals if seal.checkpoint):
            with suppress(NoteError):
                checkpoint = Checkpoint.parse(seal.checkpoint)
                is_noted = noted.sizes.get(checkpoint.size, (0, ""))[1] == checkpoint.root.hex()
                if is_noted and checkpoint.size not in present:
                    present.add(checkpoint.size)
                    checkpoints.store(checkpoint, checkpoint.at or datetime.now(UTC))


def _assert_tiles(last: Checkpoint) -> None:
    """Raise BrokenError unless tiles and last entry are those of the last checkpoint.

    The mac of that entry rests on all before it, so none of these can be another one either, even if somebody with
    AUDIT_KEY has signed them and the seals anew.
    """
    tree, index = tiles.tree(last.size), last.size - 1
    try:
        is_same = tree.root() == last.root
        for entry in stored_entries(f"sequence = {last.size:d}"):
            leaf = tree.stored(0, index)
            is_same = is_same and is_included(leaf, index, last.size, tree.inclusion(index), last.root)
            if is_same and leaf != leaf_hash(entry.leaf):
                raise BrokenError(_other_entries(last))
    except tiles.TilesDamaged as error:
        raise BrokenError(Finding("tiles", f"{error} {CHANGED_TILES.format(last.size)}")) from None
    if not is_same:
        raise BrokenError(Finding("tiles", CHANGED_TILES.format(last.size)))


def _assert_continued(last: Checkpoint, leaves: "_Kept") -> None:
    """Raise BrokenError unless the entries that the last checkpoint covers are those that were looked at."""
    tree = Growing()
    for part in leaves.parts():
        missing = last.size - tree.size
        tree.add(part if part.size <= missing else Leaves(part.hashes[: missing * HASH_BYTES]))
    if (tree.size, tree.tree().root()) != (last.size, last.root):
        raise BrokenError(_other_entries(last))


def _other_entries(last: Checkpoint) -> Finding:
    problem = f"The entries up to {last.size:,} are not those that the last checkpoint signed."
    return Finding("checkpoint", problem)


def _note(
    seal: Seal, checkpoint: Checkpoint, public: PublicKey, last: Checkpoint | None, tree: tiles.Writing, actor: Actor
) -> None:
    """Keep a checkpoint, and note it in the chain, with the key if that signs for the first time."""
    at = checkpoint.at or datetime.now(UTC)
    body = {"what": "seal", "key_id": seal.key_id, "number": seal.number, "signature": seal.signature}
    body |= {"size": checkpoint.size, "root": checkpoint.root.hex(), "public_key": str(public)}
    notes = [chain.new_entry(None, Kind.SEALED, actor.user_id, body)]
    if last is None or not last.signature_of(public):
        notes.insert(0, chain.new_entry(None, Kind.SETTING_CHANGED, actor.user_id, _key_change(public, last)))
    with write_transaction(chain.DATABASE, BUSY_TIMEOUT_S):
        end = ChainEnd()  # first: it keeps out other hosts, and takes locks in the order of all writers
        if _size(checkpoints.last()) != _size(last):
            raise SealedMeanwhileError("Another host has sealed it meanwhile.")
        checkpoints.store(checkpoint, at)
        tree.write_tails()
        for note in notes:
            end.add(note)
        end.save()
        transaction.on_commit(partial(chain.log_anchors, end.added), using=chain.DATABASE)


def _key_change(public: PublicKey, last: Checkpoint | None) -> dict[str, str]:
    before = next((str(key) for key in signing_key.old() if last and last.signature_of(key)), "")
    return {"change": "changed" if before else "set", "what": signing_key.WHAT, "from": before, "to": str(public)}


def _size(checkpoint: Checkpoint | None) -> int:
    return checkpoint.size if checkpoint else -1


@dataclass
class _Kept:
    """The leaves of what was looked at, 32 bytes for each entry."""

    _parts: list[Leaves] = field(default_factory=list)
    _first: int | None = None  # the index of the first of `_hashes`
    _hashes: list[bytes] = field(default_factory=list)

    def keep(self, entry: StoredEntry | Stretch) -> None:
        """Keep the leaves of the next entries."""
        if isinstance(entry, Stretch):
            self._flush()
            self._parts.append(entry.leaves)
            return
        if not self._hashes:
            self._first = entry.sequence - 1
        self._hashes.append(leaf_hash(entry.leaf))
        if len(self._hashes) == LENGTH:
            self._flush()

    def parts(self) -> Iterator[Leaves]:
        """Yield them in their order."""
        self._flush()
        yield from self._parts

    def _flush(self) -> None:
        if self._hashes:
            self._parts.append(Leaves.of(self._first or 0, self._hashes))
            self._hashes = []
