"""Jobs: what TMS accepted, with the customers that it accepted it for. Batches: lists that are sent in chunks."""

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from django.db import models

from audit.choices import Action, Evidence, Source
from audit.models import USER_ID_LENGTH
from tmsdash.db import clock
from tmsdash.db.broken_rows import CheckedRow
from tmsdash.db.day_ranges import DayRange
from tmsdash.db.expressions import Apart
from tmsdash.db.tables import CoveringIndex

MESSAGE_LENGTH = 500
MAX_CUSTOMERS = 1 << 20  # of a job; one call carries a tenth of them at most

# What few jobs are. Each alternative is one value, so that SQLite sees that whoever asks for it asks for some of these.
EXCEPTIONS = (
    models.Q(evidence=Evidence.READ_BACK)
    | models.Q(evidence=Evidence.DECIDED)
    | models.Q(evidence=Evidence.LEGACY)
    | models.Q(source=Source.LEGACY)
    | models.Q(legacy=True)
    | models.Q(status="failed")
    | models.Q(status="unknown")
)
TESTED = ("status", "evidence", "source", "legacy", "created_at")  # of each of them, when a few are looked for


class Signed(CheckedRow):
    """A row with the signature that it got when it was written, see jobs.signatures; older rows have none."""

    mac = models.CharField("signature", max_length=64, blank=True, editable=False)
    key_id = models.CharField("key", max_length=16, blank=True, editable=False, help_text="of the signature")

    class Meta:
        abstract = True


class Job(Signed):
    """One Set Action that TMS accepted. There is exactly one for each, and none for anything else.

    Those of the old dashboard (`legacy`) stand outside of that promise: they are what it wrote down.

    `job_id` is the attempt's id, which ties it to its audit entries in the other database. `user_id`
    is the user's name as text. Never changed after it was created.
    """

    class Status(models.TextChoices):
        SUCCESS = "success", "Success"
        # Of jobs of the old dashboard only.
        FAILED = "failed", "Failed"
        UNKNOWN = "unknown", "Unknown"

    job_id = models.UUIDField(unique=True, editable=False)
    user_id = models.CharField("user", max_length=150)
    batch_id = models.UUIDField(null=True, editable=False)
    action_code = models.PositiveSmallIntegerField("action", choices=Action.choices)
    action_name = models.CharField("action", max_length=32)
    cluster_url = models.CharField("cluster", max_length=300)
    created_at = models.DateTimeField("time")
    stored_payload = models.JSONField(
        db_column="request_payload", help_text="what was sent to TMS, without the token and as a rule without the ids"
    )
    response_summary = models.JSONField(help_text="what TMS answered, or the evidence in its place")
    http_status = models.PositiveSmallIntegerField("TMS's HTTP status", null=True)
    evidence = models.CharField(max_length=16, choices=Evidence.choices, default=Evidence.REPLY)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.SUCCESS)
    customer_count = models.PositiveIntegerField("customers")
    source = models.CharField(max_length=16, blank=True, help_text="of its attempt: form, api, command or batch")
    legacy = models.BooleanField(default=False, help_text="imported from the old dashboard, which promised nothing")
    old_status = models.CharField(max_length=64, blank=True, help_text="as the old dashboard wrote it")
    doubles = models.UUIDField("repeats the job", null=True, help_text="of the old dashboard, which wrote some twice")

    class Meta:
        ordering = ["-id"]
        verbose_name = "job"
        verbose_name_plural = "User Jobs Audit"
        permissions = [("set_action", "Can trigger Set Actions")]
        # By id for the admin; by time for User Jobs, where days are asked for, too.
        indexes = [
            models.Index(fields=["user_id", "id"], name="job_by_user"),
            models.Index(fields=["action_code", "id"], name="job_by_action"),
            models.Index(fields=["cluster_url", "id"], name="job_by_cluster"),
            models.Index(Apart("source"), "id", name="job_listed_by_source"),
            CoveringIndex(fields=["id"], covered=TESTED, name="job_exception", condition=EXCEPTIONS),
            models.Index(fields=["batch_id"], name="job_by_batch", condition=models.Q(batch_id__isnull=False)),
            models.Index(fields=["created_at", "id"], name="job_by_time"),
            models.Index(fields=["user_id", "created_at", "id"], name="job_by_user_time"),
            models.Index(fields=["action_code", "created_at", "id"], name="job_by_action_time"),
            models.Index(fields=["cluster_url", "created_at", "id"], name="job_by_cluster_time"),
        ]

    def __str__(self) -> str:
        return str(self.job_id)

    @property
    def request_payload(self) -> Any:
        """What was sent to TMS, without the token; the ids are those of its customers."""
        return whole_payload(self.stored_payload, self._cids, legacy=self.legacy)

    @request_payload.setter
    def request_payload(self, payload: Any) -> None:
        self.stored_payload = payload

    def _cids(self) -> list[str]:
        return [*self.customers.values_list("cid", flat=True)]

    @property
    def customers(self) -> models.QuerySet["JobCustomer"]:
        """Its customers in their order."""
        place = customers_from(self.pk)
        return JobCustomer.objects.filter(pk__gte=place, pk__lt=place + MAX_CUSTOMERS, job=self).order_by("pk")


def payload_to_store(payload: Any, cids: Sequence[str], *, legacy: bool) -> Any:
    """Return what is stored of a payload: of our own jobs not the ids, which are those of its customers once more."""
    if legacy or not isinstance(payload, dict) or [*payload.get("cids", ())] != [*cids]:
        return payload
    return {name: value for name, value in payload.items() if name != "cids"}


def whole_payload(stored: Any, cids: Callable[[], Sequence[str]], *, legacy: bool) -> Any:
    """Return the payload of which that is stored. The old dashboard's may lack the ids; ours always had them."""
    if legacy or not isinstance(stored, dict) or "cids" in stored:
        return stored
    return stored | {"cids": [*cids()]}


def customers_from(job_pk: int) -> int:
    """Return the least primary key that a customer of a job can have; those of the next job begin where it ends."""
    return job_pk * MAX_CUSTOMERS


class JobDay(DayRange):
    """The keys of the jobs of a day."""


class JobCustomer(CheckedRow):
    """A customer of a job; `position` keeps the order in which the ids were given, from 0.

    The primary key follows from both, so that the customers of a job stand together in their order: always ask for a
    range of keys, as `Job.customers` does. The table has no other index. Who looks for a customer asks the
    audit, whose index leads to attempts, and these have the ids of their jobs.
    """

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="+", db_index=False)
    cid = models.CharField("customer id", max_length=128)
    position = models.PositiveIntegerField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(id=models.F("job") * MAX_CUSTOMERS + models.F("position")),
                name="job_customer_in_place",
            )
        ]

    def __str__(self) -> str:
        return self.cid

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert it under the key that is its own."""
        self.pk = customers_from(self.job_id) + self.position
        super().save(*args, **(kwargs | {"force_insert": True}))


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


class BatchChunk(Signed):
    """A part of a batch that goes in one call: an attempt of the ordinary service for each of its tries.

    The attempt's id is derived from batch, number and try, so that two runners which both believe that a chunk is
    theirs still make one call. `set_aside` holds the ids that TMS did not know; they are no longer in `cids`.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        CALLING = "calling", "Being sent"
        ACCEPTED = "accepted", "Accepted"
        REJECTED = "rejected", "Rejected by TMS"
        SET_ASIDE = "set_aside", "Rejected, unknown ids set aside"
        REFUSED = "refused", "Refused"
        NOT_SENT = "not_sent", "Not sent"
        NOT_APPLIED = "not_applied", "Not applied"
        UNKNOWN = "unknown", "Unknown"

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="chunks", db_index=False)
    number = models.PositiveIntegerField(help_text="its place in the batch, from 0")
    cluster_url = models.CharField("cluster", max_length=300)
    action_code = models.PositiveSmallIntegerField("action", choices=Action.choices)
    action_sent = models.CharField(max_length=32, help_text="as TMS gets it")
    cids = models.JSONField("customer ids")
    customer_count = models.PositiveIntegerField("customers")
    set_aside = models.JSONField("ids that TMS does not know", default=list)
    set_aside_count = models.PositiveIntegerField("unknown to TMS", default=0)
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
            models.Index(fields=["batch", "state", "number"], name="chunk_by_state"),
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
