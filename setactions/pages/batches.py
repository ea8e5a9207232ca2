"""The pages of batches that change nothing: the list, one batch with its progress, and its files."""

import uuid
from contextlib import suppress
from dataclasses import replace

from django.db import Error as AnyDatabaseError
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from jobs.batches import selectors
from jobs.batches.selectors import Progress
from jobs.filters import BatchFilters
from jobs.live.confirmations import confirmation_of_batch, confirmations_of
from jobs.models import Batch, BatchChunk, Job
from jobs.selectors import may_view_all_jobs
from jobs.statuses import shown_status
from setactions.batches.liveness import waits_for_worker_since
from setactions.batches.progress import rate_of
from setactions.batches.recovery import catch_up
from setactions.batches.report import report_lines
from setactions.live.confirmations import BatchCheck
from setactions.pages.batch_rows import rows_of
from setactions.pages.batch_view import BatchLine, BatchView, ChunkFilter, ChunkLine
from setactions.permissions import may_set_action
from setactions.word import Named
from tmsdash.csv_text import CSV_TYPE, ids_file
from tmsdash.db.transactions import drop_if_broken
from tmsdash.downloads import download
from tmsdash.web.page_addresses import page_address
from tmsdash.web.paging import Page, numbered_page

NOTHING_NAMED = Named()
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
    batches = selectors.all_batches()
    matching = batches.filter(**filters.conditions(everybody=everybody)) if is_valid else batches.none()
    page: Page[Batch] = numbered_page(
        matching,
        request.GET.get("page"),
        BATCHES_PER_PAGE,
        lambda number: filters.address(everybody=everybody, page=number),
    )
    _catch_up(*page.rows)
    context = {
        "filters": filters,
        "chips": filters.chips(everybody=everybody),
        "clear": page_address("batch_list") + ("?whose=all" if everybody else ""),
        "page": page,
        "rows": rows_of([*map(BatchLine, page.rows, selectors.progress_of_many(page.rows))], with_user=everybody),
        "may_view_all": may_all,
        "everybody": everybody,
        "mine": filters.address(everybody=False),
        "all": filters.address(everybody=True),
    }
    return render(request, "batches/batch_list.html", context, status=200 if is_valid else 400)


@never_cache
@require_safe
def batch(request: HttpRequest, batch_id: uuid.UUID, template: str = "batches/batch.html") -> HttpResponse:
    """Show one batch. While it runs, its page asks for the `template` of the part that changes."""
    return render(request, template, {"view": _view(request, load(request, batch_id))})


@never_cache
@require_safe
def report_csv(request: HttpRequest, batch_id: uuid.UUID) -> StreamingHttpResponse:
    """Download what became of each customer."""
    return download(report_lines(load(request, batch_id)), f"batch-{batch_id}.csv", CSV_TYPE)


@never_cache
@require_safe
def unknown_csv(request: HttpRequest, batch_id: uuid.UUID) -> HttpResponse:
    """Download the ids that TMS does not know."""
    return ids_file(f"unknown-{batch_id}.csv", selectors.set_aside_ids(load(request, batch_id)))


def batch_page(
    request: HttpRequest,
    batch: Batch,
    *,
    status: int = 200,
    error: str = "",
    named: Named = NOTHING_NAMED,
    check: BatchCheck | None = None,
) -> HttpResponse:
    """Show one batch, and what could not be done if there is something.

    If any were `named`, the page asks what to do with the customers that were asked for since. `check` is what TMS
    was just seen to show.
    """
    view = replace(_view(request, batch, error, named=named), check=check)
    return render(request, "batches/batch.html", {"view": view}, status=status)


def load(request: HttpRequest, batch_id: uuid.UUID) -> Batch:
    """Return the batch as it is now; raises Http404 if there is none that this user may see."""
    batch = selectors.batch_for(request.user, batch_id)
    if batch is None:
        raise Http404
    _catch_up(batch)
    return batch


def _catch_up(*batches: Batch) -> None:
    # The page shows the ledger as it is if it cannot be written now: whoever looks next catches up.
    with suppress(AnyDatabaseError), drop_if_broken("jobs", "audit"):
        catch_up(*batches)


def _view(request: HttpRequest, batch: Batch, error: str = "", *, named: Named = NOTHING_NAMED) -> BatchView:
    progress, chunks = selectors.progress_of(batch), selectors.chunks_of(batch)
    only = ChunkFilter.parse(request.GET)
    return BatchView(
        batch=batch,
        progress=progress,
        origins=selectors.origins_of(batch),
        rate=rate_of(batch, progress),
        waits_since=waits_for_worker_since(batch),
        chunks=_chunk_page(request, batch, only, progress),
        only=only,
        reasons=selectors.reasons_of(batch),
        answered=list(
            chunks.exclude(ended_at=None).exclude(state=BatchChunk.State.CALLING).order_by("-ended_at")[:LAST_ANSWERS]
        ),
        set_aside_ids=selectors.set_aside_ids(batch, IDS_SHOWN) if progress.set_aside else [],
        may_control=may_set_action(request.user),
        is_owner=batch.user_id == request.user.get_username(),
        error=error,
        named=named,
        confirmation=None if batch.has_runner else confirmation_of_batch(batch.batch_id),
    )


def _chunk_page(request: HttpRequest, batch: Batch, only: ChunkFilter, progress: Progress) -> Page[ChunkLine]:
    chunks = selectors.chunks_of(batch)
    address = f"{reverse('batch', args=[batch.batch_id])}{only.query}{'&' if only.query else '?'}"
    page: Page[BatchChunk] = numbered_page(
        chunks.filter(state__in=only.states) if only.states else chunks,
        request.GET.get("page"),
        CHUNKS_PER_PAGE,
        lambda number: f"{address}page={number}#chunks-title",
        count=progress.chunks(*only.states or BatchChunk.State),
    )
    confirmations = confirmations_of([chunk.attempt_id for chunk in page.rows if chunk.attempt_id])
    lines = []
    for chunk in page.rows:
        chunk.batch = batch  # its attempt ids are derived from it
        confirmation = confirmations.get(chunk.attempt_id) if chunk.attempt_id else None
        shown = shown_status(Job.Status.SUCCESS, legacy=False, confirmation=confirmation) if confirmation else None
        lines.append(ChunkLine(chunk, shown))
    return replace(page, rows=lines)  # type: ignore[return-value,arg-type]
