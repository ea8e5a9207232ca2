"""Attempts and audit entries, for admins and auditors to look at. Nobody changes either."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ORDER_VAR, SEARCH_VAR, ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from audit.accounts import admin as account_admin  # noqa: F401 (registers accounts and groups)
from audit.accounts import banner_admin  # noqa: F401 (registers banners)
from audit.actors import Actor
from audit.admin_filters import SHARED, ConfiguredClusterFilter, EntryUserFilter, SourceFilter
from audit.bodies import words_given
from audit.chain import anchor
from audit.choices import LEGACY_SOURCES, Outcome
from audit.customer_index import asked_for, asking_for, is_known
from audit.exports import CONTENT_TYPES, FORMS, LISTS_PER_MINUTE, answer_export, export, lists
from audit.models import Attempt, AttemptDay, AuditEntry, EntryDay
from audit.proof.evidence_pack import program_digest
from audit.selectors import entries_of, noted, opening_body, outcome_body, read_body
from audit.summary import count
from audit.tallies import BEGINNING, END, tallies_of
from audit.transparency.inclusion import NotSignedError, signed_log
from tmsdash.db.plans import planned
from tmsdash.downloads import download
from tmsdash.web.admin import NO_SUCH_LIST, AddressError, ExactSearchAdmin, is_uuid, link_to_list, shown_json
from tmsdash.web.admin_filters import ActionFilter, TimeFilter, UserFilter
from tmsdash.web.paging import numbered_page
from tmsdash.web.parts import badge
from tmsdash.web.template_filters import shown_time

CIDS_PER_PAGE = 500
TALLIED = {"outcome__exact", *SHARED}  # filters by which attempts are tallied
OPEN = "is_open__exact"


@admin.register(Attempt)
class AttemptAdmin(ExactSearchAdmin):
    """One row for each attempt, whatever became of it; its own page has its events, TMS's answer and the ids."""

    next_step = "Everything that is sent, rejected or refused appears here at once."
    place = 2
    sentence = "Everything that was asked for, whatever became of it, with its events and what TMS answered."
    id_field = "attempt_id"
    search_help_text = "A whole job or attempt id, user name or customer id; anything else is looked for in notes"
    linked_by = ("attempt_id",)
    days = AttemptDay
    list_display = (
        *("time", "shown_outcome", "user_id", "action_name", "cluster", "customer_count", "origin"),
        *("note", "attempt_id", "job_link"),
    )
    list_display_links = ("attempt_id",)
    list_filter = (TimeFilter, "outcome", "action_code", ConfiguredClusterFilter, SourceFilter, UserFilter, "is_open")
    fields = (
        *("attempt_id", "time", "user_id", "ip_address", "arrived_by", "action_name", "cluster_in_full"),
        *("customer_count", "shown_outcome", "meaning", "outcome_since", "left_to_do", "http_status", "error_message"),
        *("note", "deliberately", "page", "evidence", "entries", "job", "same_action"),
    )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return the facts of an attempt, without the one that only imported ones have."""
        return [name for name in self.fields if not obj or obj.source in LEGACY_SOURCES or name != "same_action"]

    def rows_of_customer(self, cid: str) -> Q | None:
        return asked_for(cid) if is_known(cid) else None

    def meaning_of_others(self, term: str) -> dict[str, Q]:
        return super().meaning_of_others(term) if is_uuid(term) else {"note": noted(term)}

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.export)
        exports = [path(f"export.{form}", view, {"form": form}, name=f"audit_attempt_{form}") for form in FORMS]
        return [*exports, *super().get_urls()]

    def export(self, request: HttpRequest, form: str) -> HttpResponseBase:
        """Send everything that the list shows with the filters of this address, on all its pages, as a file."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        try:
            changelist = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            return self.wrong_address(request, NO_SUCH_LIST)
        except AddressError as error:
            return self.wrong_address(request, str(error))

        def noted_lines(actor: Actor) -> HttpResponseBase:
            filters = _filters_of(changelist)
            lines = export(changelist.queryset, form, filters, actor, _count(changelist, filters))
            name = f"attempts-{timezone.now():%Y-%m-%dT%H-%M-%SZ}.{form}"
            return download(lines, name, CONTENT_TYPES[form])

        return answer_export(request, lists, LISTS_PER_MINUTE, noted_lines)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        labels = {"csv": "CSV", "jsonl": "JSON lines"}
        exports = [(reverse(f"admin:audit_attempt_{form}"), label) for form, label in labels.items()]
        return super().changelist_view(request, {"exports": exports, "outcomes": [*Outcome]} | (extra_context or {}))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the attempt with its events, TMS's answer and a page of its ids."""
        attempt = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if isinstance(attempt, Attempt) and self.has_view_permission(request, attempt):
            cids, number = opening_body(attempt)["cids"], request.GET.get("ids")
            context = {
                "events": [(entry, anchor(entry.sequence, entry.mac)) for entry in entries_of(attempt)],
                "answer": shown_json(outcome_body(attempt)),
                "ids": numbered_page(cids, number, CIDS_PER_PAGE, "?ids={}#ids-title".format),
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    @admin.display(description="from", ordering="source")
    def origin(self, attempt: Attempt) -> str:
        return f"{attempt.source_label} · {attempt.ip_address}" if attempt.ip_address else attempt.source_label

    @admin.display(description="outcome", ordering="outcome")
    def shown_outcome(self, attempt: Attempt) -> SafeString:
        return badge(attempt.outcome, self.state_of(attempt))

    def state_of(self, row: Attempt) -> str:
        return str(row.get_outcome_display())

    @admin.display(description="source")
    def arrived_by(self, attempt: Attempt) -> str:
        return attempt.source_label

    def meaning(self, attempt: Attempt) -> str:
        """What its outcome means, and what to do."""
        return Outcome(attempt.outcome).explanation if attempt.outcome in Outcome else "not known"

    @admin.display(description="allowed on purpose")
    def deliberately(self, attempt: Attempt) -> str:
        return words_given(opening_body(attempt)) or "nothing"

    def outcome_since(self, attempt: Attempt) -> SafeString | str:
        return shown_time(attempt.decided_at) if attempt.decided_at else "–"

    def left_to_do(self, attempt: Attempt) -> str:
        if attempt.job_owed:
            return "its job has to be recorded"
        return "its outcome has to be found out" if attempt.is_open else "nothing"

    @admin.display(description="events")
    def entries(self, attempt: Attempt) -> SafeString:
        return link_to_list("audit_auditentry", "Audit entries of this attempt", attempt_id=attempt.attempt_id)

    def page(self, attempt: Attempt) -> SafeString:
        url = reverse("attempt", args=[attempt.attempt_id])
        return format_html('<a href="{}">What its user sees of this attempt</a>', url)

    def evidence(self, attempt: Attempt) -> SafeString:
        url = reverse("evidence", args=[attempt.attempt_id])
        words = "Evidence pack: events, ids, macs, a text for a ticket, and what proves it to others"
        return format_html('<a href="{}" download>{}</a>', url, words)

    @admin.display(description="job")
    def job_link(self, attempt: Attempt) -> SafeString | str:
        return link_to_list("jobs_job", "Job", job_id=attempt.attempt_id) if attempt.has_job else ""

    def job(self, attempt: Attempt) -> SafeString | str:
        if not attempt.has_job:
            return "none"
        return link_to_list("jobs_job", "Job of this attempt", job_id=attempt.attempt_id)

    @admin.display(description="same action in the old dashboard")
    def same_action(self, attempt: Attempt) -> SafeString | str:
        body = opening_body(attempt)
        if row_id := body.get("log_row_id"):
            return link_to_list("audit_attempt", "Row of its audit log", attempt_id=row_id)
        if job_id := body.get("job_id"):
            return link_to_list("jobs_job", "Job", job_id=job_id)
        return "none"


def _period_of(changelist: ChangeList) -> tuple[datetime | None, datetime | None]:
    [time] = [spec for spec in changelist.filter_specs if isinstance(spec, TimeFilter)]
    return time.bounds()


def _filters_of(changelist: ChangeList) -> dict[str, Any]:
    """Return what a list is narrowed to, for the audit: the filters of its address, and the period that they mean."""
    times = {name: at and at.isoformat() for name, at in zip(("since", "until"), _period_of(changelist), strict=True)}
    given = changelist.filter_params.items()
    return {name: value for name, [value] in given if name not in TimeFilter.parameters} | times


def _count(changelist: Any, filters: dict[str, Any]) -> int:
    """Count what a list is narrowed to: from tallies, if they know of everything by which it is.

    They do not know which attempts are open, but these are few.
    """
    given = {name: value for name, value in filters.items() if name not in ("since", "until", ORDER_VAR)}
    first, last = _period_of(changelist)
    if term := str(given.get(SEARCH_VAR, "")).strip():
        meanings = changelist.model_admin.meanings(term).keys()
        if meanings == {"customer"} and given.keys() == {SEARCH_VAR} and not first and not last:
            return asking_for([term]).count()
        if meanings == {"user_id"} and given.get("user_id", term) == term:
            given = {name: value for name, value in given.items() if name != SEARCH_VAR} | {"user_id": term}
    is_closed = given.get(OPEN) == "0" and given.pop(OPEN)
    if not given.keys() <= TALLIED or not all(given.values()):
        return int(changelist.queryset.count())
    attempts = Attempt.objects.filter(**given)
    open_ones = planned(
        attempts.filter(is_open=True, created_at__range=(first or BEGINNING, last or END)), through="is_open"
    )
    return count(attempts, tallies_of(**given), first, last) - (open_ones.count() if is_closed else 0)


@admin.register(AuditEntry)
class AuditEntryAdmin(ExactSearchAdmin):
    """The raw events, with what chains them."""

    place = 3
    sentence = "The events as they were recorded, sign-ins and changed settings included, with what proves them."
    id_field = "attempt_id"
    linked_by = ("attempt_id",)
    days = EntryDay
    list_display = ("time", "sequence", "kind", "attempt_id", "user_id", "action_type", "ip_address")
    list_display_links = ("sequence",)
    list_filter = (TimeFilter, "kind", ActionFilter, EntryUserFilter)
    fields = (
        *("sequence", "time", "kind", "attempt_id", "user_id", "ip_address", "action_type", "attempt", "job", "facts"),
        *("previous_mac", "mac", "key_id"),
    )

    def get_urls(self) -> list[Any]:
        page = self.admin_site.admin_view(self.check_view)
        return [path("how-to-check/", page, name="audit_auditentry_check"), *super().get_urls()]

    def check_view(self, request: HttpRequest) -> HttpResponse:
        """Show what was signed last, and what others need to check it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        context = self.admin_site.each_context(request) | {"title": "How others can check the audit"}
        try:
            context |= {"log": signed_log(), "program_digest": program_digest()}
        except NotSignedError as error:
            context["problem"] = str(error)
        return TemplateResponse(request, "admin/audit/auditentry/check.html", context)

    def name_of(self, row: Any) -> str:
        return f"{row.sequence}"

    def rows_of_customer(self, cid: str) -> Q | None:
        return Q(attempt_id__in=Attempt.objects.filter(asked_for(cid)).values("attempt_id")) if is_known(cid) else None

    def attempt(self, entry: AuditEntry) -> SafeString | str:
        if entry.attempt_id is None:
            return "none"
        return link_to_list("audit_attempt", "Attempt of this entry", attempt_id=entry.attempt_id)

    def job(self, entry: AuditEntry) -> SafeString | str:
        if entry.attempt_id is None:
            return "none"
        return link_to_list("jobs_job", "Job of this attempt, if TMS accepted it", job_id=entry.attempt_id)

    def facts(self, entry: AuditEntry) -> SafeString:
        return shown_json(read_body(entry.sequence, entry.body))
