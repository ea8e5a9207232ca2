"""User Jobs and the page of one job."""

import json
import uuid
from contextlib import suppress
from functools import partial
from typing import Any

from django.db import Error as AnyDatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from audit.models import Attempt
from audit.selectors import (
    has_open_attempts,
    may_view_all_attempts,
    may_view_attempt_of,
    note_of,
    open_attempts,
    open_attempts_of,
)
from jobs.filters import JobFilters
from jobs.live.card import LiveCard
from jobs.live.confirmations import best_of, confirmations_of, states_of_job
from jobs.models import Job
from jobs.rows import COLUMNS, rows_of
from jobs.selectors import (
    all_cids_of,
    all_jobs,
    customers_of,
    job_for,
    jobs_of_customer,
    may_view_all_jobs,
    narrowed,
    older_than,
)
from jobs.signatures import job_is_signed, signed_jobs
from jobs.statuses import shown_status
from jobs.stored import read_job
from tmsdash.csv_text import ids_file
from tmsdash.db.transactions import drop_if_broken
from tmsdash.downloads import IncompleteError
from tmsdash.text import printable
from tmsdash.web.errors import error_response
from tmsdash.web.page_addresses import page_address
from tmsdash.web.paging import numbered_page, page_behind

JOBS_PER_PAGE = 50
UNFINISHED_SHOWN = 50
CUSTOMERS_PER_PAGE = 500


@never_cache
@require_safe
def job_list(request: HttpRequest) -> HttpResponse:
    """List jobs, newest first: the user's own, or everybody's for those who may see them, and those that match."""
    filters = JobFilters(request.GET, viewer=request.user)
    is_valid = filters.is_valid()
    if is_valid and filters.cleaned_data["job"]:
        return redirect("job_detail", job_id=filters.cleaned_data["job"].job_id)
    may_all = may_view_all_jobs(request.user)
    everybody = may_all and (request.GET.get("whose") == "all" or "user" in filters.active)
    conditions = filters.conditions(everybody=everybody) if is_valid else {}
    jobs = narrowed(all_jobs(), **conditions) if is_valid else Job.objects.none()
    cid = filters.cleaned_data["customer"] if is_valid else ""
    page = page_behind(
        jobs.values_list(*COLUMNS, named=True),
        request.GET.get("before", ""),
        JOBS_PER_PAGE,
        older_than,
        partial(filters.address, everybody=everybody),
        partial(jobs_of_customer, cid, conditions, COLUMNS) if cid else None,
    )
    context = {
        "filters": filters,
        "chips": filters.chips(everybody=everybody),
        "clear": page_address("job_list") + ("?whose=all" if everybody else ""),
        "unfinished": [] if page.back else _unfinished(request.user, everybody=everybody),
        "page": page,
        "rows": rows_of(page.rows, with_user=everybody),
        "may_view_all": may_all,
        "everybody": everybody,
        "mine": filters.address(everybody=False),
        "all": filters.address(everybody=True),
    }
    return render(request, "jobs/job_list.html", context, status=200 if is_valid else 400)


def _unfinished(user: Any, *, everybody: bool) -> list[Attempt]:
    """Return the oldest attempts that have no outcome or no Job yet, or none if the audit does not answer."""
    of_all = everybody and may_view_all_attempts(user)
    oldest: list[Attempt] = []
    with suppress(AnyDatabaseError), drop_if_broken("audit"):
        if of_all or has_open_attempts(user):
            oldest = list((open_attempts() if of_all else open_attempts_of(user))[:UNFINISHED_SHOWN])
    # An attempt whose Job is there only waits for the audit to note that, and the list shows its Job.
    recorded = signed_jobs([attempt.attempt_id for attempt in oldest])
    return [attempt for attempt in oldest if attempt.attempt_id not in recorded]


@never_cache
@require_safe
def job_detail(request: HttpRequest, job_id: uuid.UUID) -> HttpResponse:
    """Show one job with a page of its customers."""
    return job_page(request, load_job(request, job_id))


def job_page(request: HttpRequest, job: Job, *, status: int = 200, error: str = "", sealed: str = "") -> HttpResponse:
    """Show a job. `error` says why TMS could not be read; with a `sealed` token it can be read again at once."""
    states, kept = states_of_job(job), confirmations_of([job.job_id]).get(job.job_id)
    may_view_attempt = may_view_attempt_of(request.user, job.user_id)
    stored = read_job(job) if job.mac else None
    context = {
        "job": job,
        "status": shown_status(job.status, legacy=job.legacy, confirmation=best_of(job, states, kept)),
        "was_changed": stored is not None and not job_is_signed(stored),
        "answer": printable(json.dumps(job.response_summary, indent=2, ensure_ascii=False)),
        "may_view_attempt": may_view_attempt,
        "note": note_of(job.job_id) if may_view_attempt else "",
        "card": LiveCard(states, {"job": str(job.job_id)}),
        "error": error,
        "sealed": sealed,
        "page": numbered_page(
            customers_of(job),
            request.GET.get("page"),
            CUSTOMERS_PER_PAGE,
            f"{reverse('job_detail', args=[job.job_id])}?page={{}}#customers-title".format,
            count=len(stored.cids) if stored else None,
        ),
    }
    return render(request, "jobs/job_detail.html", context, status=status)


@never_cache
@require_safe
def customers_csv(request: HttpRequest, job_id: uuid.UUID) -> HttpResponse:
    """Download all customers of one job, in order. A job has 100,000 at most, so the file is made before it is sent."""
    job = load_job(request, job_id)
    try:
        return ids_file(f"customers-{job.job_id}.csv", all_cids_of(job))
    except IncompleteError as error:
        return error_response(request, 500, str(error))


def load_job(request: HttpRequest, job_id: uuid.UUID) -> Job:
    """Return the job; raises Http404 unless it is there and the user may see it."""
    job = job_for(request.user, job_id)
    if job is None:
        raise Http404
    return job
