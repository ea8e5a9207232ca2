"""Checkpoints in the audit's database: that the log had so many entries with this root at that time, signed.

A checkpoint is made when the audit is sealed, by audit.proof.sealing, and by nothing else.
"""

from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.models import StoredCheckpoint
from audit.transparency.notes import Checkpoint, NoteError


def last() -> Checkpoint | None:
    """Return the last checkpoint, None before the first; raises NoteError if its row was changed.

    Nobody has looked at its signature: Checkpoint.signature_of does.
    """
    # Not its time, which may be no time: nothing but the note counts.
    stored = StoredCheckpoint.objects.only("size", "root", "note").order_by("size").last()
    return parsed(stored) if stored else None


def parsed(stored: StoredCheckpoint) -> Checkpoint:
    """Return the checkpoint that a row holds; raises NoteError if it holds none, or another one than it says."""
    checkpoint = Checkpoint.parse(str(stored.note))  # SQLite may hold bytes there, or nothing
    if (checkpoint.size, checkpoint.root.hex()) != (stored.size, stored.root):
        raise NoteError(f"The checkpoint of {stored.size} entries in the audit's database was changed.")
    return checkpoint


def made(origin: str, size: int, root: bytes, at: datetime, key: Ed25519PrivateKey) -> Checkpoint:
    """Return a checkpoint of the log, signed with its key under its own name."""
    return Checkpoint.make(origin, size, root, at).signed(origin, key)


def store(checkpoint: Checkpoint, at: datetime) -> None:
    """Keep a checkpoint, within a transaction of the caller's."""
    StoredCheckpoint.objects.create(
        size=checkpoint.size, root=checkpoint.root.hex(), note=str(checkpoint), created_at=at
    )
