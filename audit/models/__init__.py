"""The audit: events that are only ever added, and one row per attempt that sums them up."""

from audit.models.attempts import SEGMENT_ATTEMPTS, Attempt, AttemptCustomer, segment_of
from audit.models.columns import CID_LENGTH, NOTE_LENGTH, USER_ID_LENGTH
from audit.models.entries import GENESIS, AppendOnlyError, AppendOnlyQuerySet, AuditEntry, ChainHead
from audit.models.lists import AttemptDay, EntryDay, TalliedPeriod, Tally, Unit
from audit.models.transparency import CheckpointTimestamp, MerkleTile, StoredCheckpoint

__all__ = [
    "CID_LENGTH",
    "GENESIS",
    "NOTE_LENGTH",
    "SEGMENT_ATTEMPTS",
    "USER_ID_LENGTH",
    "AppendOnlyError",
    "AppendOnlyQuerySet",
    "Attempt",
    "AttemptCustomer",
    "AttemptDay",
    "AuditEntry",
    "ChainHead",
    "CheckpointTimestamp",
    "EntryDay",
    "MerkleTile",
    "StoredCheckpoint",
    "TalliedPeriod",
    "Tally",
    "Unit",
    "segment_of",
]
