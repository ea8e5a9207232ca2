"""Attempts and audit entries, for admins and auditors to look at."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from audit import account_admin  # noqa: F401 (registers accounts and groups)
from audit.admin_filters import EntryUserFilter, SourceFilter
from audit.chain import anchor
from audit.models import Attempt, AttemptCustomer, AuditEntry, group_of
from audit.selectors import entries_of, ids_page, outcome_body
from tmsdash.admin import ExactSearchAdmin, link_to_list, shown_json
from tmsdash.admin_filters import ClusterFilter, TimeFilter, UserFilter


@admin.register(Attempt)
class AttemptAdmin(ExactSearchAdmin):
    """One row for each attempt, whatever became of it; behind it its events, TMS's answer and the ids."""

    id_field = "attempt_id"
    list_display = (
        *("time", "shown_outcome", "user_id", "action_name", "cluster_url", "customer_count", "origin"),
        *("attempt_id", "job"),
    )
    list_display_links = ("time", "attempt_id")
    list_filter = (TimeFilter, "outcome", "action_code", ClusterFilter, SourceFilter, UserFilter, "is_open")
    fields = (
        *("attempt_id", "time", "user_id", "ip_address", "source", "action_name", "cluster_url"),
        *("customer_count", "shown_outcome", "decided_at", "left_to_do", "http_status", "error_message"),
        *("page", "entries", "job"),
    )

    def rows_of_customer(self, cid: str) -> Q:
        return Q(pk__in=AttemptCustomer.objects.filter(cid=cid).values("attempt_id"))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the attempt with its events, TMS's answer and a page of its ids."""
        attempt = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if isinstance(attempt, Attempt) and self.has_view_permission(request, attempt):
            context = {
                "events": [(entry, anchor(entry.sequence, entry.mac)) for entry in entries_of(attempt)],
                "answer": shown_json(outcome_body(attempt)),
                "ids": ids_page(attempt, request.GET.get("ids", "")),
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    @admin.display(description="from", ordering="source")
    def origin(self, attempt: Attempt) -> str:
        return f"{attempt.source} · {attempt.ip_address}" if attempt.ip_address else attempt.source

    @admin.display(description="outcome", ordering="outcome")
    def shown_outcome(self, attempt: Attempt) -> SafeString:
        group = group_of(attempt.outcome)
        return format_html('<span class="outcome {}">{}</span>', group.value, attempt.get_outcome_display())

    @admin.display(description="left to do")
    def left_to_do(self, attempt: Attempt) -> str:
        if attempt.job_owed:
            return "its job has to be recorded"
        return "its outcome has to be found out" if attempt.is_open else "nothing"

    @admin.display(description="events")
    def entries(self, attempt: Attempt) -> SafeString:
        return link_to_list("audit_auditentry", "Audit entries of this attempt", attempt_id=attempt.attempt_id)

    @admin.display(description="page")
    def page(self, attempt: Attempt) -> SafeString:
        url = reverse("attempt", args=[attempt.attempt_id])
        return format_html('<a href="{}">What its user sees of this attempt</a>', url)

    @admin.display(description="job")
    def job(self, attempt: Attempt) -> SafeString | str:
        if not attempt.has_job:
            return "none"
        return link_to_list("jobs_job", "Job of this attempt", job_id=attempt.attempt_id)


@admin.register(AuditEntry)
class AuditEntryAdmin(ExactSearchAdmin):
    """The raw events, with what chains them."""

    id_field = "attempt_id"
    list_display = ("time", "sequence", "kind", "attempt_id", "user_id", "action_type", "ip_address")
    list_display_links = ("time", "sequence", "kind")
    list_filter = (TimeFilter, "kind", "action_type", EntryUserFilter)
    fields = (
        *("sequence", "time", "kind", "attempt_id", "user_id", "ip_address", "action_type", "attempt", "job", "facts"),
        *("previous_mac", "mac", "key_id"),
    )

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
