"""What the admin pages of jobs and audit share: they show everything and change nothing."""

import json
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from tmsdash.text import printable

SHOWN_CHARACTERS = 20_000  # of a JSON value: a fleet's ids would make a page of megabytes

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Model]
else:
    ModelAdmin = admin.ModelAdmin


class ReadOnlyAdmin(ModelAdmin):
    """An admin without any way to add, change or delete; Django hides the buttons and answers 403 itself."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # a count for every choice of every filter
    list_per_page = 50
    actions = None

    @admin.display(description="time (UTC)", ordering="pk")
    def time(self, row: Any) -> str:
        """Return when the row was made, to the second and in the order of the rows."""
        return f"{row.created_at:%Y-%m-%d %H:%M:%S}"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list under its own name instead of "Select … to view"."""
        title = {"title": capfirst(self.opts.verbose_name_plural)}
        return super().changelist_view(request, title | (extra_context or {}))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ExactSearchAdmin(ReadOnlyAdmin):
    """Searches for one whole term, because only equality finds a customer among millions by index.

    A term is an id of a job or attempt, a user name, or a customer id; 32 hex digits may be either id.
    """

    id_field: str  # of the attempt or job
    search_fields = ("user_id",)
    search_help_text = "A whole job or attempt id, user name or customer id"

    def rows_of_customer(self, cid: str) -> Q:
        """Return the condition for rows that name this customer id."""
        raise NotImplementedError

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Model], search_term: str
    ) -> tuple[QuerySet[Model], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        condition = Q(user_id=term) | self.rows_of_customer(term)
        with suppress(ValueError):  # most terms are no id of ours
            condition |= Q(**{self.id_field: uuid.UUID(term)})
        return queryset.filter(condition), False


def link_to_list(model_label: str, text: str, **filters: Any) -> SafeString:
    """Return a link to the admin's list of a model (`jobs_job`), filtered."""
    url = reverse(f"admin:{model_label}_changelist")
    return format_html('<a href="{}?{}">{}</a>', url, urlencode(filters), text)


def shown_json(value: Any) -> SafeString:
    """Return a JSON value for reading, cut if it is very long; TMS's message may be in it, so it is made printable."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if len(text) > SHOWN_CHARACTERS:
        text = f"{text[:SHOWN_CHARACTERS]}\n… {len(text) - SHOWN_CHARACTERS:,} more characters"
    return format_html("<pre>{}</pre>", printable(text, 10 * len(text)))
