"""Jobs: what TMS accepted, with the customers that it accepted it for."""

from django.db import models

from audit.models import Action


class Job(models.Model):
    """One Set Action that TMS accepted. There is exactly one for each, and none for anything else.

    `job_id` is the attempt's id, which ties it to its audit entries in the other database. `user_id`
    is the user's name as text. Never changed after it was created.
    """

    class Status(models.TextChoices):
        SUCCESS = "success", "Success"

    class Evidence(models.TextChoices):
        """How it is known that TMS accepted."""

        REPLY = "reply", "TMS said so"
        READ_BACK = "read_back", "confirmed by reading back"
        DECIDED = "decided", "decided by a person"

    job_id = models.UUIDField(unique=True, editable=False)
    user_id = models.CharField("user", max_length=150)
    batch_id = models.UUIDField(null=True, editable=False, db_index=True)
    action_code = models.PositiveSmallIntegerField("action", choices=Action.choices)
    action_name = models.CharField("action", max_length=32)
    cluster_url = models.CharField("cluster", max_length=300)
    created_at = models.DateTimeField("time")
    request_payload = models.JSONField(help_text="what was sent to TMS, without the token")
    response_summary = models.JSONField(help_text="what TMS answered, or the evidence in its place")
    http_status = models.PositiveSmallIntegerField("TMS's HTTP status", null=True)
    evidence = models.CharField(max_length=16, choices=Evidence.choices, default=Evidence.REPLY)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.SUCCESS)
    customer_count = models.PositiveIntegerField("customers")

    class Meta:
        ordering = ["-id"]
        verbose_name = "job"
        verbose_name_plural = "User Jobs Audit"
        permissions = [("set_action", "Can trigger Set Actions")]
        # By id for the admin; by time for User Jobs, where days are asked for, too.
        indexes = [
            models.Index(fields=["user_id", "-id"], name="job_by_user"),
            models.Index(fields=["status", "-id"], name="job_by_status"),
            models.Index(fields=["action_code", "-id"], name="job_by_action"),
            models.Index(fields=["-created_at", "-id"], name="job_by_time"),
            models.Index(fields=["user_id", "-created_at", "-id"], name="job_by_user_time"),
            models.Index(fields=["action_code", "-created_at", "-id"], name="job_by_action_time"),
            models.Index(fields=["cluster_url", "-created_at", "-id"], name="job_by_cluster_time"),
        ]

    def __str__(self) -> str:
        return str(self.job_id)


class JobCustomer(models.Model):
    """A customer of a job; `position` keeps the order in which the ids were given, from 0."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="customers", db_index=False)
    cid = models.CharField("customer id", max_length=128)
    position = models.PositiveIntegerField()

    class Meta:
        ordering = ["job", "position"]
        constraints = [
            models.UniqueConstraint(fields=["job", "position"], name="job_customer_in_order"),
            models.UniqueConstraint(fields=["cid", "job"], name="job_customer_by_cid"),
        ]

    def __str__(self) -> str:
        return self.cid
