"""User Jobs Audit: every job, for admins and auditors to look at, and the runbook. Nobody changes a job."""

import re
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import OuterRef, Q, QuerySet, Subquery, Sum
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from audit.accounts.audited_admin import AuditedAdmin
from audit.admin_filters import SourceFilter, query_of_attempts, summary_for
from audit.choices import Source
from audit.customer_index import is_known
from audit.summary_rows import columns_of, heads_of, rows_of
from jobs.app_status.runbook import SHORTEST, is_safe_link
from jobs.models import Batch, BatchChunk, Job, JobConfirmation, JobCustomer, JobDay, RunbookEntry
from jobs.selectors import job_ids_of_customer
from jobs.statuses import ShownStatus, shown_status
from tmsdash.web.admin import ExactSearchAdmin, ReadOnlyAdmin, link_to_list, shown_json
from tmsdash.web.admin_filters import ClusterFilter, TimeFilter, UserFilter
from tmsdash.web.parts import badge
from tmsdash.web.template_filters import shown_time

KEPT = ("customer_count", "confirmed", "read_at")  # of the best that was ever confirmed of a job
OF_OLD_DASHBOARD = ("legacy", "old_status", "doubles")  # fields of imported jobs


@admin.register(Job)
class JobAdmin(ExactSearchAdmin):
    next_step = "A job appears here as soon as TMS accepts an action."
    place = 1
    sentence = "Every job: what TMS accepted, for whom, and how far it is known to have come."
    id_field = "job_id"
    linked_by = ("job_id", "batch_id")
    days = JobDay
    list_display = (
        *(
            "time",
            "job_id",
            "user_id",
            "action_name",
            "cluster",
            "customer_count",
            "source_label",
            "condition",
            "evidence",
        ),
    )
    list_display_links = ("job_id",)
    rows_name = "jobs"
    list_filter = (TimeFilter, "status", "evidence", "action_code", ClusterFilter, SourceFilter, UserFilter, "legacy")
    fields = (
        *(
            "job_id",
            "time",
            "user_id",
            "action_name",
            "cluster_in_full",
            "condition",
            "http_status",
            "source_label",
            "batch_id",
        ),
        *(*OF_OLD_DASHBOARD, "customer_list", "audit_entries", "sent", "answered"),
    )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return the facts of a job, without those that only imported ones have."""
        return [name for name in self.fields if not obj or obj.legacy or name not in OF_OLD_DASHBOARD]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return jobs without their large JSON, each with what was confirmed of it."""
        jobs = super().get_queryset(request).defer("stored_payload", "response_summary")
        kept = JobConfirmation.objects.filter(job_id=OuterRef("job_id"))
        with_kept: QuerySet[Any] = jobs.annotate(**{f"kept_{name}": Subquery(kept.values(name)) for name in KEPT})
        return with_kept

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list below a summary of all attempts of the same period and filters."""
        answer = super().changelist_view(request, extra_context)
        changelist = getattr(answer, "context_data", {}).get("cl")
        if changelist and request.user.has_perm("audit.view_attempt"):
            answer.context_data |= _summed_up(changelist)  # type: ignore[attr-defined]
        return answer

    def rows_of_customer(self, cid: str) -> Q | None:
        return Q(job_id__in=job_ids_of_customer(cid)) if is_known(cid) else None

    @admin.display(description="status", ordering="status")
    def condition(self, job: Any) -> SafeString:
        shown = self._status_of(job)
        detail = format_html(' <span class="hint">{}</span>', shown.detail) if shown.detail else SafeString()
        return badge(shown.css, shown.label) + detail

    def state_of(self, row: Any) -> str:
        return self._status_of(row).label

    def _status_of(self, job: Any) -> ShownStatus:
        kept = {name: getattr(job, f"kept_{name}") for name in KEPT}
        confirmation = JobConfirmation(job_id=job.job_id, **kept) if kept["confirmed"] is not None else None
        return shown_status(job.status, legacy=job.legacy, confirmation=confirmation)

    @admin.display(description="source", ordering="source")
    def source_label(self, job: Any) -> str:
        return Source.label_of(job.source)

    @admin.display(description="customers")
    def customer_list(self, job: Job) -> SafeString:
        return link_to_list("jobs_jobcustomer", f"All {job.customer_count:,} in order", job__id__exact=job.pk)

    @admin.display(description="audit")
    def audit_entries(self, job: Job) -> SafeString:
        return link_to_list("audit_auditentry", "Audit entries of this job", attempt_id=job.job_id)

    @admin.display(description="sent to TMS")
    def sent(self, job: Job) -> SafeString:
        return shown_json(job.request_payload)

    @admin.display(description="answered by TMS")
    def answered(self, job: Job) -> SafeString:
        return shown_json(job.response_summary)


def _summed_up(changelist: ChangeList) -> dict[str, Any]:
    """Return what the template of the summary shows; nothing if the list is about one thing only."""
    summary = summary_for(changelist)
    if summary is None:
        return {}
    return {
        "summary": summary,
        "chart_columns": columns_of(summary),
        "chart_heads": heads_of(summary),
        "chart_rows": rows_of(summary),
        "attempts_query": query_of_attempts(changelist),
    }


@admin.register(Batch)
class BatchAdmin(ExactSearchAdmin):
    """Lists that were cut into chunks; what became of each chunk is on the batch's own page."""

    next_step = "A list that does not fit into one call runs as a batch, and appears here at once."
    place = 6
    sentence = "Lists that were cut into chunks, with how many of their customers TMS accepted."
    id_field = "batch_id"
    ordering = ("-id",)
    list_display = (
        *("time", "batch_id", "user_id", "action_code", "cluster", "customer_count", "accepted", "condition"),
    )
    list_display_links = ("batch_id",)
    list_filter = (TimeFilter, "action_code", "state", UserFilter)
    search_help_text = "A whole batch id, user name or customer id"
    fields = (
        *(
            "batch_id",
            "time",
            "user_id",
            "action_code",
            "cluster_in_full",
            "file_name",
            "note",
            "customer_count",
            "repeated",
        ),
        *("chunk_count", "accepted", "condition", "reason", "ended", "page", "jobs"),
    )

    def rows_of_customer(self, cid: str) -> Q | None:
        if not is_known(cid):
            return None
        jobs = Job.objects.filter(job_id__in=job_ids_of_customer(cid, may_be_chunks=True))
        return Q(batch_id__in=jobs.exclude(batch_id=None).values("batch_id"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # Summed up for the rows that are shown; a join would sum up those of all batches first.
        chunks = BatchChunk.objects.filter(batch=OuterRef("pk"), state=BatchChunk.State.ACCEPTED).order_by()
        accepted = Subquery(chunks.values("batch").values(sum=Sum("customer_count")))
        batches: QuerySet[Any] = super().get_queryset(request).annotate(accepted=accepted)
        return batches

    def accepted(self, batch: Any) -> int:
        return int(batch.accepted or 0)

    @admin.display(description="state", ordering="state")
    def condition(self, batch: Batch) -> SafeString:
        return badge(batch.state_label.lower(), batch.state_label)

    def state_of(self, row: Batch) -> str:
        return row.state_label

    def ended(self, batch: Batch) -> SafeString | str:
        return shown_time(batch.ended_at) if batch.ended_at else "–"

    @admin.display(description="progress")
    def page(self, batch: Batch) -> SafeString:
        return format_html('<a href="{}">Page of this batch</a>', reverse("batch", args=[batch.batch_id]))

    def jobs(self, batch: Batch) -> SafeString:
        return link_to_list("jobs_job", "Jobs of this batch", batch_id=batch.batch_id)


@admin.register(JobCustomer)
class JobCustomerAdmin(ReadOnlyAdmin):
    """The customers of one job, in pages; reached from the job, because the whole table is of no use to anybody."""

    next_step = "Customers are listed job by job: open a job in User Jobs Audit."
    linked_by = ("job__id__exact",)
    list_display = ("position", "cid")
    list_display_links = None
    list_per_page = 500
    ordering = ("pk",)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list, named after its job and with the way back there."""
        pk = _key_of_job(request)
        job = Job.objects.only("job_id").filter(pk=pk).first() if pk else None
        if job:
            back = reverse("admin:jobs_job_change", args=[job.pk])
            shown = {"title": "Customers of job", "shown_id": job.job_id, "back": back, "back_words": "Job"}
            extra_context = shown | (extra_context or {})
        return super().changelist_view(request, extra_context)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        pk, customers = _key_of_job(request), super().get_queryset(request)
        return customers & Job(pk=pk).customers if pk else customers.none()


def _key_of_job(request: HttpRequest) -> int | None:
    """Return the key of the job that the address of a list of customers names, if it can be one."""
    key = request.GET.get("job__id__exact", "")
    return int(key) if re.fullmatch("[0-9]{1,12}", key) else None


class RunbookForm(forms.ModelForm):  # type: ignore[type-arg]
    """An entry of the runbook; its texts are shown to everybody who sees the messages that it explains."""

    def clean_pattern(self) -> str:
        pattern: str = self.cleaned_data["pattern"]
        if len(pattern.replace("*", "").strip()) < SHORTEST:
            raise forms.ValidationError(f"This is in nearly every message. Give at least {SHORTEST} characters of it.")
        return pattern

    def clean_link(self) -> str:
        link: str = self.cleaned_data["link"]
        if link and not is_safe_link(link):
            raise forms.ValidationError("Give a link that begins with https:// or http://.")
        return link


@admin.register(RunbookEntry)
class RunbookAdmin(AuditedAdmin):
    """What messages mean. Every change is in the audit, and auditors change nothing."""

    place = 7
    sentence = "What messages of TMS mean, and what to do about them."
    rows_name = "runbook entries"
    form = RunbookForm
    list_display = ("pattern", "meaning", "next_step", "link", "position")
    search_fields = ("pattern", "meaning", "next_step")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        assumed = {"assume_scheme": "https"} if db_field.name == "link" else {}
        return super().formfield_for_dbfield(db_field, request, **kwargs | assumed)

    def facts_of(self, row: Any) -> dict[str, Any]:
        return {name: getattr(row, name) for name in ("pattern", "meaning", "next_step", "link", "position")}
