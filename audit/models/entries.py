"""The entries of the audit, which are only ever added, and the end of their chain."""

from typing import Any, NoReturn

from django.db import models

from audit.choices import SELDOM_KINDS, Kind
from audit.models.columns import CID_LENGTH, USER_ID_LENGTH, any_of
from tmsdash.db.broken_rows import CheckedRow
from tmsdash.db.fields import HexField

GENESIS = "0" * 64  # the mac before the first entry


class AppendOnlyError(Exception):
    """Somebody tried to change or delete an audit entry."""


class AppendOnlyQuerySet(models.QuerySet["AuditEntry"]):
    """A query set that reads and adds, and refuses everything that changes or removes rows."""

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError("Audit entries are never changed or deleted.")

    update = delete = bulk_update = bulk_create = update_or_create = _refuse
    # What Model.save and the admin's collector use underneath.
    _update = _raw_delete = _refuse


class AuditEntry(CheckedRow):
    """One event. Stands alone: names as text, no reference into another database, never changed.

    `body` is canonical JSON (sorted keys, no spaces, ASCII), so that its bytes can be proven later: `mac` signs
    the entry together with the mac of the one before, see audit.chain. Triggers keep the rows from being changed.
    """

    sequence = models.BigAutoField(primary_key=True, help_text="gapless, from 1, and always given: see audit.chain")
    attempt_id = models.UUIDField(null=True, editable=False)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    created_at = models.DateTimeField("time")
    user_id = models.CharField("user", max_length=USER_ID_LENGTH)
    action_type = models.CharField("action", max_length=CID_LENGTH, blank=True)
    ip_address = models.CharField("address", max_length=45, blank=True)
    body = models.TextField()
    previous_mac = HexField()
    mac = HexField()
    key_id = models.CharField("key", max_length=16, help_text="of the key that signed it")

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "audit entries"
        ordering = ["-sequence"]
        base_manager_name = "objects"
        constraints = [models.UniqueConstraint(fields=["attempt_id", "kind"], name="entry_once_per_attempt")]
        indexes = [
            models.Index(fields=["user_id", "sequence"], name="entry_by_user"),
            models.Index(fields=["action_type", "sequence"], name="entry_by_action"),
            # The others are a third of all entries each: whoever looks for the newest of them finds them at once.
            models.Index(
                fields=["kind", "sequence"], name="entry_by_seldom_kind", condition=any_of("kind", SELDOM_KINDS)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.attempt_id or ''}".strip()

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert the entry; raises AppendOnlyError if it is there already."""
        if not self._state.adding:
            raise AppendOnlyError("Audit entries are never changed.")
        super().save(*args, **(kwargs | {"force_insert": True}))

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError("Audit entries are never deleted.")


class ChainHead(models.Model):
    """The end of the chain, one row: moves in the transaction that adds an entry, which keeps others out till then."""

    sequence = models.BigIntegerField(help_text="of the last entry; 0 before the first")
    mac = models.CharField(max_length=64)
    key_id = models.CharField(max_length=16)
    signature = models.CharField(max_length=64)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="chain_has_one_head")]

    def __str__(self) -> str:
        return f"{self.sequence}:{self.mac[:16]}"
