"""Batches: lists that are sent in chunks, and how often the clusters let them."""

import uuid

from django.db import models

from audit.choices import Action, Outcome
from audit.models import NOTE_LENGTH, USER_ID_LENGTH
from jobs.models.jobs import MESSAGE_LENGTH, Signed
from tmsdash.db import clock


class Batch(Signed):
    """A list that is too long for one call, cut into chunks. What becomes of it is in its chunks.

    Whoever carries it, a thread of the server or a command, is its `runner`, and holds a lease until `runner_until`,
    which its heartbeats extend. When it has run out, another runner may get it. A list for several clusters or
    actions has neither of its own: its chunks have them.
    """

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        PAUSED = "paused", "Paused"
        STOPPED = "stopped", "Stopped"
        DONE = "done", "Done"

    batch_id = models.UUIDField(unique=True, editable=False)
    user_id = models.CharField("user", max_length=USER_ID_LENGTH)
    cluster_url = models.CharField("cluster", max_length=300, blank=True)
    action_code = models.PositiveSmallIntegerField("action", choices=Action.choices, null=True)
    file_name = models.CharField("file", max_length=255, blank=True)
    list_digest = models.CharField(max_length=64)
    customer_count = models.PositiveIntegerField("customers")
    repeated = models.PositiveIntegerField("repeats left out", default=0)
    chunk_count = models.PositiveIntegerField("chunks")
    created_at = models.DateTimeField("time")
    ended_at = models.DateTimeField("ended", null=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.RUNNING)
    reason = models.CharField(max_length=MESSAGE_LENGTH, blank=True, help_text="why it does not go on")
    resume_at = models.DateTimeField(null=True, help_text="when a paused one goes on by itself")
    first_only = models.BooleanField(default=False, help_text="only the first chunk, until its user has looked at it")
    allow_unusual = models.BooleanField(default=False, help_text="its user let ids pass that look damaged")
    note = models.CharField(max_length=NOTE_LENGTH, blank=True, default="", db_default="")
    runner = models.CharField(max_length=128, blank=True)
    runner_until = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "batches"
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["created_at", "id"], name="batch_by_time"),
            models.Index(fields=["user_id", "created_at", "id"], name="batch_by_user_time"),
            # Each Set Action asks for the batches that may be sending, or that ended lately.
            models.Index(
                fields=["state"],
                name="batch_unfinished",
                condition=models.Q(state="running") | models.Q(state="paused"),
            ),
            models.Index(fields=["ended_at"], name="batch_by_end"),
        ]

    def __str__(self) -> str:
        return str(self.batch_id)

    @property
    def has_runner(self) -> bool:
        """Whether a process carries it, which has the token."""
        return bool(self.runner) and self.runner_until is not None and self.runner_until > clock.now("jobs")

    @property
    def shown_state(self) -> "Batch.State":
        """Its state as it really is: without a runner nothing runs, whatever a dead one left written."""
        is_dead = self.state == self.State.RUNNING and not self.has_runner
        return self.State.STOPPED if is_dead else self.State(self.state)

    @property
    def is_stopping(self) -> bool:
        """Whether it sends nothing new, and its runner still waits for the answers of its last calls."""
        return self.state == self.State.STOPPED and self.has_runner

    @property
    def state_label(self) -> str:
        """What it does, in a word."""
        return "Stopping" if self.is_stopping else self.shown_state.label


class BatchChunk(Signed):
    """A part of a batch that goes in one call: an attempt of the ordinary service for each of its tries.

    The attempt's id is derived from batch, number and try, so that two runners which both believe that a chunk is
    theirs still make one call. `set_aside` holds the ids that TMS did not know; they are no longer in `cids`.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        CALLING = "calling", Outcome.PENDING.label
        ACCEPTED = "accepted", Outcome.ACCEPTED.label
        REJECTED = "rejected", Outcome.REJECTED.label
        SET_ASIDE = "set_aside", "Rejected, ids not in TMS taken out"
        REFUSED = "refused", Outcome.REFUSED.label
        NOT_SENT = "not_sent", Outcome.NOT_SENT.label
        NOT_APPLIED = "not_applied", "Not applied"
        UNKNOWN = "unknown", Outcome.UNKNOWN.label

        @property
        def outcome(self) -> Outcome | None:
            """The outcome of the attempt behind it; None while there is none."""
            if self == self.WAITING:
                return None
            return _OUTCOMES.get(self) or Outcome(self.value)

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="chunks", db_index=False)
    number = models.PositiveIntegerField(help_text="its place in the batch, from 0")
    cluster_url = models.CharField("cluster", max_length=300)
    action_code = models.PositiveSmallIntegerField("action", choices=Action.choices)
    action_sent = models.CharField(max_length=32, help_text="as TMS gets it")
    cids = models.JSONField("customer ids")
    customer_count = models.PositiveIntegerField("customers")
    set_aside = models.JSONField("ids that TMS does not know", default=list)
    set_aside_count = models.PositiveIntegerField("ids not in TMS", default=0)
    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    tries = models.PositiveIntegerField("try", default=1)
    attempt_id = models.UUIDField("last attempt", null=True)
    runner = models.CharField(max_length=128, blank=True)
    not_before = models.DateTimeField(null=True)
    started_at = models.DateTimeField("started", null=True)
    ended_at = models.DateTimeField("ended", null=True)
    http_status = models.PositiveSmallIntegerField("TMS's HTTP status", null=True)
    message = models.CharField(max_length=MESSAGE_LENGTH, blank=True)

    class Meta:
        ordering = ["batch", "number"]
        constraints = [models.UniqueConstraint(fields=["batch", "number"], name="batch_chunk_in_order")]
        indexes = [
            # What is counted of chunks is in it, because each row holds some hundred ids.
            models.Index(
                fields=["batch", "state", "number", "customer_count", "set_aside_count"], name="chunk_figures"
            ),
            models.Index(fields=["cluster_url"], name="chunk_calling", condition=models.Q(state="calling")),
            models.Index(fields=["batch"], name="chunk_in_doubt", condition=models.Q(state__in=["calling", "unknown"])),
        ]

    def __str__(self) -> str:
        return f"{self.number + 1}"

    @property
    def answer(self) -> str:
        """What became of its last call, in words."""
        state = "To be sent again" if self.state == self.State.WAITING else self.State(self.state).label
        return f"{state}: {self.message}" if self.message else state

    @property
    def has_sound_try(self) -> bool:
        """Whether its try counts from 1. One before the first would have a new attempt id, and no try before it."""
        return isinstance(self.tries, int) and self.tries >= 1  # SQLite holds anything in any column

    @property
    def derived_attempt_id(self) -> uuid.UUID:
        """The attempt id of the present try."""
        return self.attempt_id_of(self.tries)

    def attempt_id_of(self, try_number: int) -> uuid.UUID:
        """Return the attempt id of one of its tries, which count from 1."""
        return uuid.uuid5(self.batch.batch_id, f"chunk {self.number}, try {try_number}")


# Where a chunk's state has another name than the outcome of its attempt.
_OUTCOMES = {BatchChunk.State.CALLING: Outcome.PENDING, BatchChunk.State.SET_ASIDE: Outcome.REJECTED}


class ClusterBackoff(models.Model):
    """A cluster that asked for fewer calls. All batches leave it alone for a while, then send it one call at a time.

    `failures` is back at 0 as soon as the cluster accepts a call.
    """

    cluster_url = models.CharField("cluster", max_length=300, unique=True)
    not_before = models.DateTimeField(null=True)
    failures = models.PositiveIntegerField(default=0, help_text="how often in a row it asked")

    class Meta:
        db_table = "jobs_clusterpace"  # the model's first name; what is installed keeps its tables

    def __str__(self) -> str:
        return self.cluster_url
