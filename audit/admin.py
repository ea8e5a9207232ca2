"""Attempts and audit entries, for admins and auditors to look at."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.utils.safestring import SafeString

from audit import account_admin  # noqa: F401 (registers accounts and groups)
from audit.models import Attempt, AttemptCustomer, AuditEntry
from tmsdash.accounts import UNKNOWN_NAME
from tmsdash.admin import ExactSearchAdmin, link_to_list, shown_json


@admin.register(Attempt)
class AttemptAdmin(ExactSearchAdmin):
    id_field = "attempt_id"
    list_display = ("time", "attempt_id", "user_id", "action_name", "cluster_url", "customer_count", "outcome")
    list_display_links = ("time", "attempt_id")
    list_filter = ("action_code", "outcome", "is_open", "created_at", ("user_id", admin.AllValuesFieldListFilter))
    fields = (
        *("attempt_id", "time", "user_id", "ip_address", "source", "action_name", "cluster_url"),
        *("customer_count", "outcome", "decided_at", "is_open", "job_owed", "http_status", "error_message"),
        *("entries", "job"),
    )

    def rows_of_customer(self, cid: str) -> Q:
        return Q(pk__in=AttemptCustomer.objects.filter(cid=cid).values("attempt_id"))

    @admin.display(description="events")
    def entries(self, attempt: Attempt) -> SafeString:
        return link_to_list("audit_auditentry", "Audit entries of this attempt", attempt_id=attempt.attempt_id)

    @admin.display(description="job")
    def job(self, attempt: Attempt) -> SafeString | str:
        if not attempt.has_job:
            return "none"
        return link_to_list("jobs_job", "Job of this attempt", job_id=attempt.attempt_id)


class KnownUsersFilter(admin.AllValuesFieldListFilter):
    """Lists users without the hashes of names that nobody has, of which strangers can make any number."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lookup_choices = self.lookup_choices.exclude(user_id__startswith=UNKNOWN_NAME)


@admin.register(AuditEntry)
class AuditEntryAdmin(ExactSearchAdmin):
    id_field = "attempt_id"
    list_display = ("time", "kind", "attempt_id", "user_id", "action_type", "ip_address")
    list_display_links = ("time", "kind")
    list_filter = (
        *("kind", ("action_type", admin.AllValuesFieldListFilter), "created_at"),
        ("user_id", KnownUsersFilter),
    )
    fields = ("time", "kind", "attempt_id", "user_id", "ip_address", "action_type", "attempt", "job", "facts")

    def rows_of_customer(self, cid: str) -> Q:
        return Q(attempt_id__in=Attempt.objects.filter(customers__cid=cid).values("attempt_id"))

    @admin.display(description="attempt")
    def attempt(self, entry: AuditEntry) -> SafeString | str:
        if entry.attempt_id is None:
            return "none"
        return link_to_list("audit_attempt", "Attempt of this entry", attempt_id=entry.attempt_id)

    @admin.display(description="job")
    def job(self, entry: AuditEntry) -> SafeString | str:
        if entry.attempt_id is None:
            return "none"
        return link_to_list("jobs_job", "Job of this attempt, if TMS accepted it", job_id=entry.attempt_id)

    @admin.display(description="facts")
    def facts(self, entry: AuditEntry) -> SafeString:
        return shown_json(json.loads(entry.body))
