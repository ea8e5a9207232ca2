"""Jobs: what TMS accepted, with the customers that it accepted it for."""

from collections.abc import Callable, Sequence
from typing import Any

from django.db import models

from audit.choices import Action, Evidence, Source
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
        SUCCESS = "success", "Accepted"
        # Of jobs of the old dashboard only.
        FAILED = "failed", "Failed"
        UNKNOWN = "unknown", "Outcome unknown"

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

    @property
    def action_sent(self) -> str:
        """The action as it was spelled for TMS; "" if the payload of an old job does not say."""
        return str(self.stored_payload.get("action") or "") if isinstance(self.stored_payload, dict) else ""

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
