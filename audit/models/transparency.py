"""The Merkle tree over the entries, and what was signed of it. See audit.transparency."""

from django.db import models

from tmsdash.db.fields import HexField


class MerkleTile(models.Model):
    """Up to 256 hashes of the tree that stand side by side: `number` counts the tiles of a level from 0.

    Level 0 holds the hashes of leaves, and each level above those of whole tiles below. Drawn from the entries, and
    written when the audit is sealed; only the last tile of a level grows.
    """

    pk = models.CompositePrimaryKey("level", "number")
    level = models.PositiveSmallIntegerField()
    number = models.BigIntegerField()
    hashes = models.BinaryField(help_text="of 32 bytes each")

    def __str__(self) -> str:
        return f"{self.level}/{self.number}"


class StoredCheckpoint(models.Model):
    """A checkpoint that was signed when the audit was sealed; `size` is the number of entries that it covers."""

    size = models.BigIntegerField(primary_key=True)
    root = HexField()
    note = models.TextField(help_text="the signed checkpoint, as C2SP writes it")
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.size}:{self.root[:16]}"


class CheckpointTimestamp(models.Model):
    """That an authority of time-stamps saw the checkpoint of this `size`, see audit.transparency.timestamps."""

    size = models.BigIntegerField(primary_key=True)
    answer = models.BinaryField(help_text="the authority's, as RFC 3161 writes it (DER)")
    stamped_at = models.DateTimeField(help_text="the authority's time, which the answer holds, too")

    def __str__(self) -> str:
        return f"{self.size} at {self.stamped_at}"
