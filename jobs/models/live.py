"""Readings of live state, the newest state of each customer, and what a reading confirmed of a job."""

import uuid

from django.db import models

from audit.models import CID_LENGTH, USER_ID_LENGTH
from tmsdash.db.broken_rows import CheckedRow

URL_LENGTH = 300
PROBLEM_LENGTH = 500


class LiveReading(CheckedRow):
    """One answer to `get/action`, or why there was none. Never changed after it was written.

    A reading with a `problem` says nothing of any customer. `asked` is what was asked for, ALL or a customer id. One
    that was given began when its user says that it was read, and ended when it was given.
    """

    ALL = "ALL"

    class Source(models.TextChoices):
        TMS = "tms", "read from TMS"
        GIVEN = "given", "given by its user"  # an answer that was pasted or uploaded, read somewhere else

    cluster_url = models.CharField("cluster", max_length=URL_LENGTH)
    asked = models.CharField(max_length=CID_LENGTH)
    source = models.CharField(max_length=16, choices=Source.choices, default=Source.TMS)
    user_id = models.CharField("user", max_length=USER_ID_LENGTH, help_text="for whom it was read")
    began_at = models.DateTimeField("begun")
    ended_at = models.DateTimeField("read")
    customer_count = models.PositiveIntegerField("customers listed", default=0)
    http_status = models.PositiveSmallIntegerField("TMS's HTTP status", null=True)
    problem = models.CharField(max_length=PROBLEM_LENGTH, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["cluster_url", "id"], name="live_reading_by_cluster")]

    def __str__(self) -> str:
        return f"{self.asked} on {self.cluster_url}"

    @property
    def source_in_words(self) -> str:
        """Who says so, such as "read from TMS for olivia": it belongs beside each number that a reading shows."""
        is_given = self.source == self.Source.GIVEN
        return f"given by {self.user_id}, not read here" if is_given else f"read from TMS for {self.user_id}"


class LiveCluster(models.Model):
    """What all processes of the site share about reading a cluster. There is one row for each cluster that was read.

    `whole` is the newest good reading of ALL; what it does not list has no state. `reader` reads ALL until
    `reader_until`, and others wait for that rather than read as well. `recent_reads` are the times of the reads within
    the last minute, in seconds since 1970; `not_before` is until when the cluster asked not to be read.
    """

    cluster_url = models.CharField("cluster", max_length=URL_LENGTH, unique=True)
    whole = models.ForeignKey(LiveReading, null=True, on_delete=models.PROTECT, related_name="+")
    reader = models.CharField(max_length=64, blank=True)
    reader_until = models.DateTimeField(null=True)
    recent_reads = models.JSONField(default=list)
    not_before = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.cluster_url


class LiveState(CheckedRow):
    """The newest known state of a customer: the code that `get/action` showed, see jobs.live.codes.

    Without a `reading` of its own it is what the cluster's newest whole reading shows; otherwise a newer reading of
    this customer alone shows it.
    """

    cluster = models.ForeignKey(LiveCluster, on_delete=models.CASCADE, related_name="states", db_index=False)
    cid = models.CharField("customer id", max_length=CID_LENGTH)
    code = models.SmallIntegerField("state")
    reading = models.ForeignKey(LiveReading, null=True, on_delete=models.PROTECT, related_name="+", db_index=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["cluster", "cid"], name="live_state_of_customer")]
        indexes = [
            models.Index(fields=["cluster", "code", "cid"], name="live_state_by_code"),
            models.Index(fields=["reading"], name="live_state_alone", condition=models.Q(reading__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.cid


class LiveList(CheckedRow):
    """Customers that a user pasted or uploaded to look at: a list is too long for the address of its pages."""

    list_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    user_id = models.CharField("user", max_length=USER_ID_LENGTH)
    created_at = models.DateTimeField("time")
    cids = models.TextField("customer ids", help_text="one on each line")

    class Meta:
        indexes = [models.Index(fields=["user_id", "id"], name="live_list_by_user")]

    def __str__(self) -> str:
        return str(self.list_id)


class JobConfirmation(CheckedRow):
    """The best that a reading ever showed of a job: how many of its customers were where the job sends them.

    A later reading that shows fewer, because customers have moved on since, does not take that back.
    """

    job_id = models.UUIDField(unique=True, editable=False)
    customer_count = models.PositiveIntegerField("customers")
    confirmed = models.PositiveIntegerField()
    read_at = models.DateTimeField("read")

    def __str__(self) -> str:
        return f"{self.confirmed} of {self.customer_count}"

    @property
    def is_whole(self) -> bool:
        """Whether every customer of the job was where it sends them."""
        return self.confirmed == self.customer_count
