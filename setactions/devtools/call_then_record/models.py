"""The tables, as the old dashboard had them, and the file that each is in."""

from typing import Any

from django.db import models


class Router:
    """Jobs and the log of the audit have a database each; all else is in the default one."""

    aliases = {"job": "jobs", "jobcustomer": "jobs", "auditline": "audit"}

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return self.aliases.get(model._meta.model_name, "default")

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **hints: Any) -> bool:
        return db == self.aliases.get(model_name or "", "default")


class Job(models.Model):
    """One Set Action that TMS accepted, as far as nothing failed after the call."""

    job_id = models.CharField(max_length=36, primary_key=True)
    user_id = models.CharField(max_length=150)
    action_code = models.IntegerField()
    action_name = models.CharField(max_length=32)
    cluster_url = models.CharField(max_length=300)
    created_at = models.DateTimeField(auto_now_add=True)
    status = models.CharField(max_length=16)
    # Last: SQLite reads past long values to those behind them.
    response_summary = models.JSONField()
    request_payload = models.JSONField()

    class Meta:
        indexes = [models.Index(fields=["user_id", "created_at"], name="job_by_user_time")]

    def __str__(self) -> str:
        return self.job_id


class JobCustomer(models.Model):
    """A customer of a Job."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="customers")
    cid = models.CharField(max_length=128, db_index=True)

    def __str__(self) -> str:
        return self.cid


class AuditLine(models.Model):
    """Who did what, in one row."""

    user_id = models.CharField(max_length=150)
    action_type = models.CharField(max_length=32)
    customer_ids = models.JSONField()
    timestamp = models.DateTimeField(auto_now_add=True)
    ip_address = models.CharField(max_length=45)
    status = models.CharField(max_length=16)
    duration_ms = models.IntegerField()
    error_message = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"{self.action_type} by {self.user_id}"
