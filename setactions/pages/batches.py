"""The pages of batches that show: the list, one batch with its progress, and its files."""

import uuid
from typing import Any

from django.db import DatabaseError, connections
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from jobs.batches.selectors import (
    all_batches,
    batch_for,
    batches_of,
    chunks_of,
    progress_of,
    progress_of_many,
    set_aside_ids,
)
from jobs.filters import BatchFilters
from jobs.models import Batch, BatchChunk
from jobs.selectors import may_view_all_jobs
from setactions.batches.progress import rate_of
from setactions.batches.recovery import catch_up
from setactions.batches.report import report_lines
from setactions.permissions import may_set_action
from setactions.tms.clusters import cluster_at
from tmsdash.csv_text import ids_file
from tmsdash.web.paging import Page, numbered_page

State = BatchChunk.State
CHUNKS_PER_PAGE = 100
BATCHES_PER_PAGE = 50
LAST_ANSWERS = 5
IDS_SHOWN = 20


@never_cache
@require_safe
def batch_list(request: HttpRequest) -> HttpResponse:
    """List batches, newest first: the user's own, or everybody's for those who may see them."""
    filters = BatchFilters(request.GET, viewer=request.user)
    is_valid = filters.is_valid()
    may_all = may_view_all_jobs(request.user)
    wants_all = request.GET.get("whose") == "all" or "user" in filters.active
    everybody = may_all and (wants_all or not may_set_action(request.user))  # auditors have none of their own
    visible = all_batches() if everybody else batches_of(request.user)
    matching = filters.narrow(visible) if is_valid else visible.none()
    page: Page[Batch] = numbered_page(
        matching,
        request.GET.get("page"),
        BATCHES_PER_PAGE,
        lambda number: filters.address(everybody=everybody, page=number),
    )
    for batch in page.rows:
        _catch_up(batch)
    context = {
        "filters": filters,
        "page": page,
        "rows": list(zip(page.rows, progress_of_many(page.rows), strict=True)),
        "may_view_all": may_all,
        "everybody": everybody,
        "mine": filters.address(everybody=False),
        "all": filters.address(everybody=True),
    }
    return render(request, "batches/batch_list.html", context, status=200 if is_valid else 400)


@never_cache
@require_safe
def batch(request: HttpRequest, batch_id: uuid.UUID) -> HttpResponse:
    """Show one batch; the page goes on by itself as long as the batch does."""
    return batch_page(request, load(request, batch_id))


@never_cache
@require_safe
def progress(request: HttpRequest, batch_id: uuid.UUID) -> HttpResponse:
    """Return the part of the page that changes, for the page to put in its place."""
    return render(request, "batches/_progress.html", _context(request, load(request, batch_id)))


@never_cache
@require_safe
def report_csv(request: HttpRequest, batch_id: uuid.UUID) -> StreamingHttpResponse:
    """Download what became of each customer."""
    found = load(request, batch_id)
    return StreamingHttpResponse(
        report_lines(found),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="batch-{found.batch_id}.csv"'},
    )


@never_cache
@require_safe
def unknown_csv(request: HttpRequest, batch_id: uuid.UUID) -> HttpResponse:
    """Download the ids that TMS does not know."""
    found = load(request, batch_id)
    return ids_file(f"unknown-{found.batch_id}.csv", set_aside_ids(found))


def batch_page(request: HttpRequest, found: Batch, *, status: int = 200, error: str = "") -> HttpResponse:
    """Show one batch, with what could not be done if there is something."""
    return render(request, "batches/batch.html", _context(request, found) | {"error": error}, status=status)


def load(request: HttpRequest, batch_id: uuid.UUID) -> Batch:
    """Return the batch as it is now; raises Http404 if it is not there or not for this user."""
    found = batch_for(request.user, batch_id)
    if found is None:
        raise Http404
    _catch_up(found)
    return found


def _catch_up(found: Batch) -> None:
    """Follow the audit; what cannot be written now, is next time."""
    try:
        catch_up(found)
    except DatabaseError:
        for alias in ("jobs", "audit"):
            connections[alias].close()


def _context(request: HttpRequest, found: Batch) -> dict[str, Any]:
    reached, cluster = progress_of(found), cluster_at(found.cluster_url)
    chunks = chunks_of(found)
    address = reverse("batch", args=[found.batch_id])
    page: Page[BatchChunk] = numbered_page(
        chunks, request.GET.get("page"), CHUNKS_PER_PAGE, lambda number: f"{address}?page={number}"
    )
    for chunk in page.rows:
        chunk.batch = found  # its attempt ids are derived from it
    may_control, is_owner = may_set_action(request.user), found.user_id == request.user.get_username()
    state = found.shown_state
    answered = [*chunks.exclude(ended_at=None).order_by("-ended_at")[:LAST_ANSWERS]]
    unsent = reached.chunks(State.WAITING)
    again = reached.chunks(State.NOT_SENT, State.NOT_APPLIED)
    return {
        "batch": found,
        "cluster_name": cluster.name if cluster else found.cluster_url or "several clusters",
        "is_production": bool(cluster and cluster.is_production),
        "state": state,
        "progress": reached,
        "accepted": reached.customers(State.ACCEPTED),
        "open": reached.customers(State.WAITING, State.CALLING),
        "pace": rate_of(found, reached),
        "page": page,
        "answered": answered,
        "unknown": reached.chunks(State.UNKNOWN),
        "set_aside_ids": set_aside_ids(found, IDS_SHOWN) if reached.set_aside else [],
        "is_live": found.has_runner,
        "may_control": may_control,
        "may_pause": may_control and found.has_runner and state == Batch.State.RUNNING,
        "may_stop": may_control and found.has_runner and state in (Batch.State.RUNNING, Batch.State.PAUSED),
        "may_resume": may_control and is_owner and unsent and state != Batch.State.RUNNING,
        "may_rest": may_control and is_owner and not found.has_runner and again,
        "may_repair": may_control and is_owner and not found.has_runner and reached.chunks(State.SET_ASIDE),
        "waiting_customers": reached.customers(State.WAITING),
        "waiting_chunks": unsent,
        "rest_customers": reached.customers(State.WAITING, State.NOT_SENT, State.NOT_APPLIED),
        "repair_customers": reached.customers(State.WAITING, State.NOT_SENT, State.NOT_APPLIED, State.SET_ASIDE),
    }
