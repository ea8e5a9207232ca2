"""That entries are in the log as it was last signed: what evidence packs prove to others, and auditors are shown.

Nothing is believed that the database holds: the checkpoint has to be signed with a key that is known, and each proof
has to lead from the entry to its root.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace

from audit.transparency import checkpoints, tiles
from audit.transparency.merkle import is_included, leaf_hash
from audit.transparency.notes import Checkpoint, NoteError, PublicKey
from audit.transparency.signing_key import SigningKeyError, known_public_keys
from audit.transparency.tiles import TilesDamaged

SHORT = 12  # characters of a root, on pages


class NotSignedError(Exception):
    """What was last signed is not what the database holds. The text says why, as sentences."""


@dataclass(frozen=True)
class SignedLog:
    """The log as it was last signed: a checkpoint with one signature, and the public key of that."""

    checkpoint: Checkpoint
    key: PublicKey

    @property
    def root(self) -> str:
        """The root of its tree, in base64 as the checkpoint has it."""
        return b64encode(self.checkpoint.root).decode("ascii")

    @property
    def short_root(self) -> str:
        """As much of it as a person compares."""
        return self.root[:SHORT]

    @property
    def signed_at(self) -> str:
        """When it was signed, as files tell it."""
        at = self.checkpoint.at
        return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "a time that it does not tell"


@dataclass(frozen=True)
class Inclusion:
    """The paths from entries, by their numbers, to the root of the signed log; `newer` are those that it lacks."""

    log: SignedLog
    paths: dict[int, list[bytes]]
    newer: list[int]


def signed_log() -> SignedLog | None:
    """Return the log as it was last signed, None if it never was. Raises NotSignedError or DatabaseError."""
    try:
        checkpoint = checkpoints.last()
        if checkpoint is None:
            return None
        for key in known_public_keys():
            if signature := checkpoint.signature_of(key):
                return SignedLog(replace(checkpoint, signatures=(signature,)), key)
    except (NoteError, SigningKeyError) as error:
        raise NotSignedError(str(error)) from None
    raise NotSignedError(
        "The last checkpoint of the log is signed with no key that is known here. Run manage.py audit_verify."
    )


def prove(leaves: Mapping[int, bytes]) -> Inclusion | None:
    """Return the proofs that entries, given as their leaves by their numbers, are in the log as it was last signed.

    None if it never was. Raises NotSignedError, if one of them is not, or DatabaseError.
    """
    log = signed_log()
    if log is None:
        return None
    size, root = log.checkpoint.size, log.checkpoint.root
    tree = tiles.tree(size)
    try:
        paths = {number: tree.inclusion(number - 1) for number in leaves if number <= size}
    except TilesDamaged as error:
        raise NotSignedError(str(error)) from None
    for number, path in paths.items():
        if not is_included(leaf_hash(leaves[number]), number - 1, size, path, root):
            raise NotSignedError(f"Entry {number} is not in the log that was signed. Run manage.py audit_verify.")
    return Inclusion(log, paths, [number for number in leaves if number > size])
