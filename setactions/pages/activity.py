"""Activity: one list of everything that was asked for, and the same as a file."""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from audit.actors import Actor
from audit.exports import LISTS_PER_MINUTE, answer_export, lists, note_export
from jobs.activity.attempts import MOST_COUNTED
from jobs.activity.choices import ShownOutcome
from jobs.activity.filters import ActivityFilters
from jobs.activity.selectors import Activity, Place, attempts_of
from jobs.activity.wanted import Count
from setactions.pages.activity_csv import csv_lines
from setactions.pages.activity_rows import opened_chunks, rows_of
from setactions.permissions import may_set_action
from tmsdash.csv_text import CSV_TYPE
from tmsdash.downloads import download
from tmsdash.text import counted
from tmsdash.web.errors import error_response
from tmsdash.web.page_addresses import page_address
from tmsdash.web.paging import Page
from tmsdash.web.sessions import keep_in_session

ENTRIES_PER_PAGE = 40
REMEMBERED = "activity"  # in the session: the last query
OPEN = "open"  # the batch whose chunks are shown
_PLACE = re.compile(r"([0-9]{1,18})-([0-9]{1,18})-([0-9]{1,18})")


@dataclass(frozen=True)
class Choice:
    """A link that narrows the list to one outcome, or lets it be."""

    label: str
    address: str
    is_chosen: bool


@never_cache
@require_safe
def activity(request: HttpRequest) -> HttpResponse:
    """List what was asked for, newest first, as the address says; without a word of it, as it was narrowed last."""
    if not request.GET and (query := request.session.get(REMEMBERED)):
        return redirect(f"{reverse('activity')}?{query}")
    filters, everybody, asked = _asked(request)
    place, opened = _place(request.GET.get("before", "")), _opened(request.GET.get(OPEN, ""))
    entries, has_more = asked.page(place, ENTRIES_PER_PAGE) if asked else ([], False)
    here = filters.address(everybody=everybody, before=_written(place))
    if asked and request.GET:
        keep_in_session(request, REMEMBERED, filters.address(everybody=everybody).partition("?")[2])
    chunks = opened_chunks(entries, opened, filters.shown_outcome) if asked and opened else []
    context = {
        "filters": filters,
        "chips": filters.chips(everybody=everybody),
        "outcomes": _outcomes(filters, everybody=everybody),
        "page": Page(
            rows=entries,
            back=filters.address(everybody=everybody) if place != Place() else "",
            onward=filters.address(everybody=everybody, before=entries[-1].behind) if has_more else "",
        ),
        "rows": rows_of(entries, attempts_of(entries), here, opened, chunks, with_user=everybody),
        "total": _in_words(*asked.counts()) if asked else "",
        "may_view_all": filters.may_view_all(),
        "everybody": everybody,
        "mine": filters.address(everybody=False),
        "all": filters.address(everybody=True),
        "clear": f"{page_address('activity')}?whose={'all' if everybody else 'mine'}",
        "csv": page_address("activity_csv") + "?" + filters.address(everybody=everybody).partition("?")[2],
    }
    return render(request, "setactions/activity.html", context, status=200 if asked else 400)


@never_cache
@require_safe
def activity_csv(request: HttpRequest) -> HttpResponseBase:
    """Download all that the list shows with the filters of this address, on all its pages; the audit notes that."""
    filters, everybody, asked = _asked(request)
    if asked is None:
        address = filters.address(everybody=everybody)
        return error_response(request, 400, "These filters are not valid, so nothing was exported.", address)

    def noted(actor: Actor) -> HttpResponseBase:
        whose = {"whose": "all" if everybody else "mine"}
        note_export("activity", filters.with_zone(filters.active) | whose, actor)
        return download(csv_lines(asked), "activity.csv", CSV_TYPE)

    return answer_export(request, lists, LISTS_PER_MINUTE, noted)


def _asked(request: HttpRequest) -> tuple[ActivityFilters, bool, Activity | None]:
    """Return the filters of an address, whether it is about everybody, and what it asks for; None if that is wrong."""
    filters, whose = ActivityFilters(request.GET, viewer=request.user), request.GET.get("whose", "")
    is_valid = filters.is_valid()
    # Auditors have none of their own.
    wants_all = whose == "all" or "user" in filters.active or (not whose and not may_set_action(request.user))
    everybody = wants_all and filters.may_view_all()
    return filters, everybody, Activity(filters.wanted(everybody=everybody)) if is_valid else None


def _outcomes(filters: ActivityFilters, *, everybody: bool) -> Iterator[Choice]:
    chosen = filters.active.get("outcome", "")
    for value, label in [("", "Any outcome"), *ShownOutcome.choices]:
        if not value.startswith("old_") or value == chosen:  # the form has them, too
            yield Choice(label, filters.address(everybody=everybody, outcome=value), value == chosen)


def _in_words(attempts: Count, batches: Count) -> str:
    """Return such as "more than 10,000 attempts, 3 batches": the attempts with those of the batches."""
    counts = [(attempts, counted(attempts.number, "attempt"))]
    if batches.number:
        counts.append((batches, f"{batches.number:,} {'batch' if batches.number == 1 else 'batches'}"))
    return ", ".join(f"{_extent(count)}{words}" for count, words in counts)


def _extent(count: Count) -> str:
    if count.is_exact:
        return ""
    return "more than " if count.number == MOST_COUNTED else "at least "


def _place(text: str) -> Place:
    match = _PLACE.fullmatch(text)
    return Place(*map(int, match.groups())) if match else Place()


def _written(place: Place) -> str:
    return str(place) if place != Place() else ""


def _opened(text: str) -> Any:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
