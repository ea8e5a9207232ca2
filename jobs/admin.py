"""User Jobs Audit: every job, for admins and auditors to look at."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from jobs.models import Job, JobCustomer
from tmsdash.admin import ExactSearchAdmin, ReadOnlyAdmin, link_to_list, shown_json


@admin.register(Job)
class JobAdmin(ExactSearchAdmin):
    id_field = "job_id"
    list_display = ("time", "job_id", "user_id", "action_name", "cluster_url", "customer_count", "status")
    list_display_links = ("time", "job_id")
    list_filter = ("action_code", "status", "created_at", ("user_id", admin.AllValuesFieldListFilter))
    fields = (
        *("job_id", "time", "user_id", "action_name", "cluster_url", "status", "http_status", "batch_id"),
        *("customer_list", "audit_entries", "sent", "answered"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("request_payload", "response_summary")

    def rows_of_customer(self, cid: str) -> Q:
        return Q(pk__in=JobCustomer.objects.filter(cid=cid).values("job_id"))

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


@admin.register(JobCustomer)
class JobCustomerAdmin(ReadOnlyAdmin):
    """The customers of one job, paged; reached from the job, because the whole table is of no use to anybody."""

    list_display = ("position", "cid")
    list_display_links = None
    list_per_page = 500
    ordering = ("job", "position")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        customers = super().get_queryset(request)
        return customers if "job__id__exact" in request.GET else customers.none()
