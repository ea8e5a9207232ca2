"""User Jobs and the page of one job."""

import json
import uuid
from typing import Any

from django.db import DatabaseError, connections
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from audit.models import Attempt
from audit.selectors import may_view_all as may_view_all_attempts
from audit.selectors import open_attempts, open_attempts_of
from jobs.selectors import all_jobs, customers_of, job_for, jobs_of, jobs_present, may_view_all
from tmsdash.text import printable

JOBS_PER_PAGE = 50
UNFINISHED_SHOWN = 50
CUSTOMERS_PER_PAGE = 500


@never_cache
@require_safe
def job_list(request: HttpRequest) -> HttpResponse:
    """List jobs, newest first: the user's own, or everybody's for those who may see them.

    Pages begin behind the last job of the page before, so that page 1,000 is as fast as page 1.
    """
    may_all = may_view_all(request.user)
    everybody = may_all and request.GET.get("whose") == "all"
    jobs = all_jobs() if everybody else jobs_of(request.user)
    before = request.GET.get("before", "")
    if before.isdecimal() and len(before) < 19:
        jobs = jobs.filter(id__lt=int(before))
    page = list(jobs[: JOBS_PER_PAGE + 1])
    context = {
        "unfinished": [] if before else _unfinished(request.user, everybody=everybody),
        "jobs": page[:JOBS_PER_PAGE],
        "older_than": page[JOBS_PER_PAGE - 1].pk if len(page) > JOBS_PER_PAGE else None,
        "is_first_page": not before,
        "may_view_all": may_all,
        "everybody": everybody,
    }
    return render(request, "jobs/job_list.html", context)


def _unfinished(user: Any, *, everybody: bool) -> list[Attempt]:
    """Return the oldest attempts that have no outcome or no Job yet; the list must appear without them, too."""
    attempts = open_attempts() if everybody and may_view_all_attempts(user) else open_attempts_of(user)
    try:
        shown = list(attempts[:UNFINISHED_SHOWN])
    except DatabaseError:
        connections["audit"].close()
        return []
    # One whose Job is there only waits for the audit to hear of it; its Job is in the list below.
    there = jobs_present([attempt.attempt_id for attempt in shown])
    return [attempt for attempt in shown if attempt.attempt_id not in there]


@never_cache
@require_safe
def job_detail(request: HttpRequest, job_id: uuid.UUID) -> HttpResponse:
    """Show one job with a page of its customers."""
    job = job_for(request.user, job_id)
    if job is None:
        raise Http404
    page_count = max(1, -(-job.customer_count // CUSTOMERS_PER_PAGE))
    text = request.GET.get("page", "1")
    page = min(int(text), page_count) if text.isdecimal() and 0 < len(text) < 10 and int(text) > 0 else 1
    start = (page - 1) * CUSTOMERS_PER_PAGE
    customers = customers_of(job).filter(position__gte=start, position__lt=start + CUSTOMERS_PER_PAGE)
    answer = printable(json.dumps(job.response_summary, indent=2, ensure_ascii=False))
    context = {
        "job": job,
        "answer": answer,
        "customers": customers,
        "page": page,
        "page_count": page_count,
        "start": start + 1,
    }
    return render(request, "jobs/job_detail.html", context)
