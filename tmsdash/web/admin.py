"""What the admin pages of jobs and audit share.

The rules that this module enforces: pages show everything and change nothing; a list accepts only the parameters of
its own filters and links; a search is for one whole term, which an index can find.
"""

import json
import re
import uuid
from collections.abc import Iterator
from datetime import datetime
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.options import IS_POPUP_VAR, TO_FIELD_VAR, IncorrectLookupParameters
from django.contrib.admin.utils import get_fields_from_path
from django.contrib.admin.views.main import ALL_VAR, ERROR_FLAG, ORDER_VAR, PAGE_VAR, SEARCH_VAR, ChangeList
from django.core.exceptions import SuspiciousOperation
from django.db.models import Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from tmsdash.db.day_ranges import DayRange, keys_of_period
from tmsdash.text import one_line, printable
from tmsdash.web.admin_details import sections_of
from tmsdash.web.admin_lists import Listing
from tmsdash.web.clusters import cluster_fact, shown_cluster
from tmsdash.web.day_zone import DAYS, ZONE
from tmsdash.web.errors import error_response
from tmsdash.web.long_lists import LongList, behind_parameters
from tmsdash.web.template_filters import shown_time

SHOWN_CHARACTERS = 20_000  # of a JSON value; the ids of a whole fleet would make the page megabytes long
LIST_PARAMETERS = (SEARCH_VAR, ORDER_VAR, PAGE_VAR, ALL_VAR, ERROR_FLAG)
MAX_VALUE = 300  # characters; no name, id or origin is longer
MAX_WORDS = 10  # of one search
UNOFFERED = frozenset({IS_POPUP_VAR, TO_FIELD_VAR, "_saveasnew"})
NO_SUCH_LIST = "This address asks for something that does not exist. Go back to the list."
_ORDER = re.compile(r"(-?[0-9]{1,2}(\.-?[0-9]{1,2}){0,19})?")  # column numbers

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Model]
else:
    ModelAdmin = admin.ModelAdmin


class AddressError(SuspiciousOperation):
    """An address asks a list for something that it does not offer. The text is shown to the user."""


class StrictListAdmin(ModelAdmin):
    """An admin whose list accepts the parameters of its own filters and links, each once, and nothing else.

    Django's own accepts every lookup on every field. With `__regex` SQLite calls into Python, which blocks everything
    else until it returns; with `password__startswith` a hash can be guessed letter by letter.
    """

    linked_by: tuple[str, ...] = ()
    """Parameters that links from elsewhere to this list use, besides those of its filters."""
    sentence = ""
    """What the list is for, where a page leads to it."""
    next_step = ""
    """How rows come into the list, in a sentence for one that has none."""
    place = 99
    """Where it stands among the lists of the first page, the main ones first."""
    rows_name = ""
    """What several of its rows are called, if that is not the title of the list."""
    show_facets = admin.ShowFacets.NEVER  # facets count the rows of every choice of every filter

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Return the list that an address asks for; raises AddressError, or Django's own error for odd values."""
        self._check_address(request)
        try:
            return super().get_changelist_instance(request)
        except IncorrectLookupParameters:
            if ERROR_FLAG in request.GET:  # Django would blame the database
                raise AddressError(NO_SUCH_LIST) from None
            raise

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list, or say what is wrong with the address. The empty fields of a form go."""
        if request.method == "GET" and (given := self._without_empty(request)) != request.GET:
            return redirect(f"{request.path}?{given.urlencode()}" if given else request.path)
        title = {"title": capfirst(self.opts.verbose_name_plural)}  # instead of "Select … to view"
        try:
            answer = super().changelist_view(request, title | (extra_context or {}))
        except AddressError as error:
            return self.wrong_address(request, str(error))
        if changelist := (getattr(answer, "context_data", None) or {}).get("cl"):
            answer.context_data["listing"] = Listing(changelist)  # type: ignore[attr-defined]
        return answer

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show an object, or save it."""
        _refuse_unoffered(request)
        answer: HttpResponse = super().changeform_view(request, *args, **kwargs)
        return answer

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Ask whether an object is to be deleted, or delete it."""
        _refuse_unoffered(request)
        answer: HttpResponse = super().delete_view(request, *args, **kwargs)
        return answer

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Show an object, or the form for it: facts and fields in sections."""
        sections, row = sections_of(context["adminform"]), kwargs.get("obj")
        kind, name = self.opts.verbose_name, self.name_of(row) if row else ""
        shown = {
            "sections": sections,
            "has_fields": any(section.fields for section in sections),
            "heading": f"Add {kind}" if row is None else capfirst(kind if is_uuid(name) else f"{kind} {name}"),
            "heading_id": name if is_uuid(name) else "",
            "state": self.state_of(row) if row else "",
            "list_name": capfirst(self.opts.verbose_name_plural),
        }
        return super().render_change_form(request, context | shown, *args, **kwargs)

    def name_of(self, row: Any) -> str:
        """Return what its page calls a row, besides the name of its kind."""
        return str(row)

    def state_of(self, row: Any) -> str:
        """Return how a row stands, in the words of its badge, for the title of its page; "" if it has no states."""
        return ""

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Answer 404: what was done to something is in the audit, and what Django keeps of it is a part of that."""
        raise Http404

    def _without_empty(self, request: HttpRequest) -> QueryDict:
        given = request.GET.copy()
        for name in self._filter_parameters(request):
            if given.getlist(name) == [""]:
                del given[name]
        if given.keys().isdisjoint(DAYS):
            given.pop(ZONE, None)
        return given

    def wrong_address(self, request: HttpRequest, message: str) -> HttpResponse:
        """Return a page with `message` and a link back to the list."""
        return error_response(
            request, 400, message, reverse(f"admin:{self.opts.label_lower.replace('.', '_')}_changelist")
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Model], search_term: str
    ) -> tuple[QuerySet[Model], bool]:
        """Search as Django does, but for a few words only: it looks for each of them in every field."""
        if len(search_term) > MAX_VALUE or len(search_term.split()) > MAX_WORDS:
            raise AddressError(f"Search for at most {MAX_WORDS} words and {MAX_VALUE} characters.")
        return super().get_search_results(request, queryset, search_term)

    def linked_parameters(self) -> tuple[str, ...]:
        """Return the parameters that links to this list use, besides those of its filters."""
        return self.linked_by

    def _check_address(self, request: HttpRequest) -> None:
        known = {*LIST_PARAMETERS, *self.linked_parameters(), *self._filter_parameters(request)}
        for name, values in request.GET.lists():
            if name not in known:
                raise AddressError(f"This list has no filter called {one_line(name, 40)}. Choose one on the page.")
            if len(values) > 1 or len(values[0]) > MAX_VALUE:
                raise AddressError(
                    f"The address holds {name} more than once, or a value that is too long. Choose one value."
                )
        if not _ORDER.fullmatch(request.GET.get(ORDER_VAR, "")):
            raise AddressError("This list cannot be sorted like that. Click on the name of a column to sort by it.")

    def _filter_parameters(self, request: HttpRequest) -> Iterator[str]:
        """Yield the parameters that the links of this list's filters use."""
        filters: list[Any] = list(self.get_list_filter(request))
        for item in filters:
            if isinstance(item, str):
                field: Any = get_fields_from_path(self.model, item)[-1]
                if field.is_relation:
                    yield f"{item}__isnull"
                    item = f"{item}__{field.target_field.name}"
                yield f"{item}__exact"
            elif issubclass(item, admin.SimpleListFilter):
                yield str(item.parameter_name)
            else:
                yield from item.parameters


class ReadOnlyAdmin(StrictListAdmin):
    """An admin that neither adds, changes nor deletes anything: Django hides the buttons and answers 403 itself."""

    show_full_result_count = False
    list_per_page = 50
    actions = None

    @admin.display(description="time", ordering="pk")
    def time(self, row: Any) -> SafeString:
        """Return when the row was made, as the pages show it. Rows are made in the order of their keys."""
        return shown_time(row.created_at)

    @admin.display(description="cluster", ordering="cluster_url")
    def cluster(self, row: Any) -> SafeString:
        """Return the cluster of a row by its name, with the origin on hover."""
        return shown_cluster(row.cluster_url)

    @admin.display(description="cluster")
    def cluster_in_full(self, row: Any) -> SafeString:
        """Return the cluster of a row by its name and its origin, for facts."""
        return cluster_fact(row.cluster_url)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ExactSearchAdmin(ReadOnlyAdmin):
    """Searches for one whole term, because only equality finds a customer among millions through an index.

    A term is the id of a job or attempt, a user name or a customer id; 32 hex digits can be any of the ids.
    """

    id_field: str
    """The field with the UUID of the attempt, job or batch."""
    search_fields = ("user_id",)
    search_help_text = "A whole job or attempt id, user name or customer id"

    days: type[DayRange] | None = None
    """Where it is kept which keys the rows of a day have, if it is."""

    def rows_of_customer(self, cid: str) -> Q | None:
        """Return the condition for rows that name this customer id; None if nobody ever asked for it."""
        raise NotImplementedError

    def meaning_of_others(self, term: str) -> dict[str, Q]:
        """Return what a term is looked for as that is no id, user or customer: as a user, of whom there is no row."""
        return {"user_id": Q(user_id=term)}

    def keys_of_period(self, first: datetime | None, last: datetime | None) -> Q:
        """Return a condition on the keys that all rows of a period meet, to narrow the list with."""
        return keys_of_period(self.days, self.model, first, last) if self.days else Q()

    def linked_parameters(self) -> tuple[str, ...]:
        return *super().linked_parameters(), *behind_parameters(self.model)

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return LongList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Model], search_term: str
    ) -> tuple[QuerySet[Model], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        return queryset.filter(reduce(or_, self.meanings(term).values())), False

    def meanings(self, term: str) -> dict[str, Q]:
        """Return what a term is found as: `user_id`, the name of the id's field, "customer".

        Which of them it is takes a look into each index. Whoever asks for either in one condition, makes PostgreSQL go
        through all rows.
        """
        conditions = {"user_id": Q(user_id=term)}
        if is_uuid(term):
            conditions[self.id_field] = Q(**{self.id_field: uuid.UUID(term)})
        rows = self.model._default_manager
        matching = {name: condition for name, condition in conditions.items() if rows.filter(condition).exists()}
        if of_customer := self.rows_of_customer(term):
            matching["customer"] = of_customer
        return matching or self.meaning_of_others(term)


def _refuse_unoffered(request: HttpRequest) -> None:
    """Raise Http404 for what Django's own pages ask, and none of ours: little windows, and copies of an object."""
    if not UNOFFERED.isdisjoint({*request.GET, *request.POST}):
        raise Http404


def is_uuid(term: str) -> bool:
    """Tell whether a term is a UUID, as which 32 hex digits pass, too."""
    try:
        uuid.UUID(term)
    except ValueError:
        return False
    return True


def link_to_list(model_label: str, text: str, **filters: Any) -> SafeString:
    """Return a link to the filtered admin list of a model, such as `jobs_job`."""
    url = reverse(f"admin:{model_label}_changelist")
    return format_html('<a href="{}?{}">{}</a>', url, urlencode(filters), text)


def shown_json(value: Any) -> SafeString:
    """Return a JSON value for reading, cut if very long and made printable, because TMS's message may be in it."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if len(text) > SHOWN_CHARACTERS:
        text = f"{text[:SHOWN_CHARACTERS]}\n… {len(text) - SHOWN_CHARACTERS:,} more characters"
    return format_html('<pre tabindex="0">{}</pre>', printable(text, 10 * len(text)))
