"""Attempts, each summed up from its entries, and the index of their customers."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models

from audit.choices import (
    ACCEPTED_OUTCOMES,
    CONFIRMED_OUTCOMES,
    IN_DOUBT_OUTCOMES,
    SELDOM_OUTCOMES,
    Action,
    Outcome,
    OutcomeGroup,
    Source,
)
from audit.models.columns import CID_LENGTH, NOTE_LENGTH, USER_ID_LENGTH, any_of
from audit.models.entries import AuditEntry
from tmsdash.clocks import CLOCK_SKEW_S
from tmsdash.db import clock
from tmsdash.db.broken_rows import CheckedRow
from tmsdash.db.expressions import Apart
from tmsdash.db.tables import CoveringIndex

SEGMENT_ATTEMPTS = 1 << 14


class Attempt(CheckedRow):
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
    note = models.CharField(max_length=NOTE_LENGTH, blank=True, default="", db_default="")

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
            # Of attempts with a note alone, with the note itself, so that whoever looks for a part of it reads no row.
            models.Index(fields=["id", "note"], name="attempt_by_note", condition=models.Q(note__gt="")),
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
    def source_label(self) -> str:
        """How it arrived, in words."""
        return Source.label_of(self.source)

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
        later = AuditEntry.objects.filter(sequence__gt=intent.values("sequence")[:1])
        later = later.filter(created_at__lte=clock.now("audit"))
        return later.order_by("sequence").values_list("created_at", flat=True).first() or self.created_at

    @property
    def clock_problem(self) -> str:
        """A sentence if its time lies ahead of this host's clock by more than clocks may differ, else ""."""
        ahead_s = (self.created_at - clock.now("audit")).total_seconds()
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
        return clock.now("audit") <= self.judged_from

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
