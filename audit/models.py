"""The audit: events that are only ever added, and one row per attempt that sums them up."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.utils import timezone

from audit.choices import (
    ACCEPTED_OUTCOMES,
    CONFIRMED_OUTCOMES,
    IN_DOUBT_OUTCOMES,
    SELDOM_KINDS,
    SELDOM_OUTCOMES,
    Action,
    Kind,
    Outcome,
    OutcomeGroup,
    Source,
)
from tmsdash.clocks import CLOCK_SKEW_S
from tmsdash.db.day_ranges import DayRange
from tmsdash.db.expressions import Apart
from tmsdash.db.fields import HexField
from tmsdash.db.tables import CoveringIndex

USER_ID_LENGTH = 150  # Django's user names
CID_LENGTH = 128
SEGMENT_ATTEMPTS = 1 << 14
GENESIS = "0" * 64  # the mac before the first entry


def any_of(field: str, values: Iterable[str]) -> models.Q:
    """Return the condition of an index of rows whose field has one of these values.

    Each is an alternative of its own, so that SQLite sees that whoever asks for one asks for some of these rows.
    """
    return reduce(or_, (models.Q(**{field: str(value)}) for value in values))


class AppendOnlyError(Exception):
    """Somebody tried to change or delete an audit entry."""


class AppendOnlyQuerySet(models.QuerySet["AuditEntry"]):
    """A query set that reads and adds, and refuses everything that changes or removes rows."""

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError("Audit entries are never changed or deleted.")

    update = delete = bulk_update = bulk_create = update_or_create = _refuse
    # What Model.save and the admin's collector use underneath.
    _update = _raw_delete = _refuse


class AuditEntry(models.Model):
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


class Attempt(models.Model):
    """One confirmed submission, summed up from its events. Moves in the same transaction as they do.

    `attempt_id` becomes the job id when TMS accepts. A `PENDING` attempt whose server died stays
    open; so does one that TMS accepted until its Job is recorded (`job_owed`).
    """

    attempt_id = models.UUIDField(unique=True, editable=False)
    user_id = models.CharField("user", max_length=USER_ID_LENGTH)
    action_code = models.PositiveSmallIntegerField("action", choices=Action.choices, null=True)
    action_name = models.CharField("action", max_length=CID_LENGTH, blank=True)
    cluster_url = models.CharField("cluster", max_length=300, blank=True)
    source = models.CharField(max_length=16)
    ip_address = models.CharField("address", max_length=45, blank=True)
    customer_count = models.PositiveIntegerField("customers")
    created_at = models.DateTimeField("time")
    outcome = models.CharField(max_length=24, choices=Outcome.choices)
    decided_at = models.DateTimeField("outcome since", null=True)
    is_open = models.BooleanField("open")
    job_owed = models.BooleanField(default=False)
    http_status = models.PositiveSmallIntegerField("TMS's HTTP status", null=True)
    error_message = models.CharField(max_length=500, blank=True)
    payload_digest = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["-id"]
        permissions = [("decide_attempt", "Can decide on attempts in doubt")]
        indexes = [
            models.Index(fields=["user_id", "id"], name="attempt_by_user"),
            models.Index(fields=["action_code", "id"], name="attempt_by_action"),
            # Nearly all others are accepted; what is in doubt is open.
            models.Index(
                fields=["outcome", "id"],
                name="attempt_by_seldom_outcome",
                condition=any_of("outcome", SELDOM_OUTCOMES),
            ),
            models.Index(fields=["created_at"], name="attempt_at_time"),
            # Whatever its outcome is, what is in doubt is open; so whoever asks for such an outcome is led here, too.
            models.Index(
                fields=["id"],
                name="attempt_unfinished",
                condition=models.Q(is_open=True) | any_of("outcome", sorted(IN_DOUBT_OUTCOMES)),
            ),
            # Of the few that a reading or a person confirmed, those of the last minutes count as repeats.
            models.Index(
                fields=["outcome", "decided_at"],
                name="attempt_confirmed",
                condition=models.Q(outcome__in=sorted(CONFIRMED_OUTCOMES)),
            ),
            # Of failed attempts alone, with all that the summary asks for when it counts their messages: of a short
            # period those of its attempts, of a long one message by message, because sorting them takes longest.
            CoveringIndex(
                fields=["created_at"],
                covered=["error_message", "source", "action_code", "cluster_url", "user_id"],
                name="attempt_by_error",
                condition=~models.Q(error_message=""),
            ),
            CoveringIndex(
                fields=["error_message", "source", "created_at"],
                covered=["action_code", "cluster_url", "user_id"],
                name="attempt_by_message",
                condition=~models.Q(error_message=""),
            ),
            models.Index(Apart("cluster_url"), "id", name="attempt_listed_by_cluster"),
            models.Index(Apart("source"), "id", name="attempt_listed_by_source"),
        ]

    def __str__(self) -> str:
        return str(self.attempt_id)

    @property
    def is_accepted(self) -> bool:
        """Whether it is taken as known that TMS accepted it."""
        return self.outcome in ACCEPTED_OUTCOMES

    @property
    def outcome_group(self) -> OutcomeGroup:
        """What its outcome has in common with others; one that only somebody else can have written counts as failed."""
        return Outcome(self.outcome).group if self.outcome in Outcome else OutcomeGroup.FAILED

    @property
    def has_job(self) -> bool:
        """Whether the Job of this attempt is known to be recorded."""
        return (self.is_accepted and not self.job_owed) or self.source == Source.LEGACY

    def copy(self) -> "Attempt":
        """Return another one of the same row: `copy.copy` goes the way of pickle, which takes ten times as long."""
        twin = Attempt.__new__(Attempt)
        twin.__dict__ |= self.__dict__
        return twin

    @property
    def begun_by(self) -> datetime:
        """When it had certainly begun, by the clock as it is now.

        That is its own time, unless the clock was set back since: then that of the first entry of the audit after it
        whose time is past.
        """
        if not self.clock_problem:
            return self.created_at
        intent = AuditEntry.objects.filter(attempt_id=self.attempt_id).order_by("sequence")
        later = AuditEntry.objects.filter(sequence__gt=intent.values("sequence")[:1], created_at__lte=timezone.now())
        return later.order_by("sequence").values_list("created_at", flat=True).first() or self.created_at

    @property
    def clock_problem(self) -> str:
        """A sentence if its time lies ahead of this host's clock by more than clocks may differ, else ""."""
        ahead_s = (self.created_at - timezone.now()).total_seconds()
        if ahead_s <= CLOCK_SKEW_S:
            return ""
        ahead = f"{ahead_s / 60:,.0f} minutes" if ahead_s >= 90 else "a minute"
        return f"Its time is {ahead} ahead of this server's clock, which is wrong or was set back since."

    @property
    def judged_from(self) -> datetime:
        """When its call is certainly over, so that an outcome that is missing still is in doubt."""
        return self.begun_by + timedelta(seconds=settings.TMS_OPEN_AFTER_S)

    @property
    def is_young(self) -> bool:
        """Whether its call may be running still, here or in TMS."""
        return timezone.now() <= self.judged_from

    @property
    def is_running(self) -> bool:
        """Whether its answer may still come: it has no outcome, and is young enough."""
        return self.outcome == Outcome.PENDING and self.is_young

    @property
    def is_in_doubt(self) -> bool:
        """Whether nobody knows what became of it: TMS's answer is missing, and it is not running any more."""
        return self.outcome in IN_DOUBT_OUTCOMES and not self.is_running


def segment_of(attempt_pk: int) -> int:
    """Return the segment of the customer index that holds the customers of an attempt."""
    return attempt_pk // SEGMENT_ATTEMPTS


class AttemptCustomer(models.Model):
    """A customer that an attempt asked for: the index behind "what was ever tried with this id".

    The ids in their order are in the body of the event that opened the attempt.

    The index consists of segments, one for each SEGMENT_ATTEMPTS attempts, and is in the order of the ids only within
    a segment. Customers come in any order, so each would otherwise be written to a page of its own of an index that
    grows for years; like this all are written to the newest segment. Who looks for a customer looks into each segment:
    always name the segments, see `audit.customer_index`. The table has no other index.
    """

    pk = models.CompositePrimaryKey("segment", "cid", "attempt_id")
    segment = models.PositiveIntegerField()
    cid = models.CharField(max_length=CID_LENGTH)
    attempt = models.ForeignKey(Attempt, on_delete=models.PROTECT, related_name="+", db_index=False)

    without_rowid = True  # see tmsdash.db.tables

    def __str__(self) -> str:
        return self.cid


class AttemptDay(DayRange):
    """The keys of the attempts of a day."""


class EntryDay(DayRange):
    """The keys of the entries of a day."""


class MonthTally(models.Model):
    """How many attempts of a month had all of this in common, and of how many customers, see audit.tallies."""

    month = models.CharField(max_length=7)
    user_id = models.CharField(max_length=USER_ID_LENGTH)
    action_code = models.PositiveSmallIntegerField(null=True)
    cluster_url = models.CharField(max_length=300)
    source = models.CharField(max_length=16)
    outcome = models.CharField(max_length=24)
    attempts = models.PositiveIntegerField()
    customers = models.PositiveBigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["month"], name="tally_by_month")]

    def __str__(self) -> str:
        return f"{self.month}: {self.attempts}"


class DayTally(models.Model):
    """How many attempts of a day of a tallied month had an outcome, and of how many customers."""

    day = models.CharField(max_length=10)
    outcome = models.CharField(max_length=24)
    attempts = models.PositiveIntegerField()
    customers = models.PositiveBigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["day", "outcome"], name="tally_once_per_day")]

    def __str__(self) -> str:
        return f"{self.day}: {self.attempts}"


class TalliedMonth(models.Model):
    """A month that was tallied when `last_key` was the newest attempt's, and so many of its own were in doubt."""

    month = models.CharField(max_length=7, primary_key=True)
    last_key = models.BigIntegerField()
    in_doubt = models.PositiveIntegerField()

    def __str__(self) -> str:
        return self.month
