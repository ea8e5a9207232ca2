"""Everything that was ever asked for one customer."""

import uuid
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from audit.choices import OutcomeGroup
from audit.models import CID_LENGTH, Attempt
from audit.selectors import (
    attempts_of_customer,
    jobs_of_log_rows,
    may_look_up_customers,
    may_view_in_full,
    older_than,
)
from tmsdash.web.paging import page_behind

ATTEMPTS_PER_PAGE = 50
TONES = {
    OutcomeGroup.ACCEPTED: "success",
    OutcomeGroup.UNKNOWN: "unknown",
    OutcomeGroup.FAILED: "rejected",
    OutcomeGroup.REFUSED: "refused",
}


@never_cache
@require_safe
def find_customer(request: HttpRequest) -> HttpResponse:
    """Ask for a customer id, and lead to that customer's page."""
    _check_may_look_up(request)
    cid = request.GET.get("cid", "").strip()
    if cid and len(cid) <= CID_LENGTH:
        return redirect("customer", cid=cid)
    error = f"A customer id has at most {CID_LENGTH} characters. Give one whole id." if cid else ""
    context = {"cid": "", "given": cid, "error": error}
    return render(request, "live/customer.html", context, status=400 if error else 200)


@never_cache
@require_safe
def customer(request: HttpRequest, cid: str) -> HttpResponse:
    """Show what was asked for a customer, newest first, by whom, and what became of it.

    Everybody who may send sees that much of every attempt. The rest is for auditors, and for who made the attempt.
    """
    _check_may_look_up(request)
    own_page = reverse("customer", args=[cid])
    page = page_behind(
        attempts_of_customer(cid),
        request.GET.get("before", ""),
        ATTEMPTS_PER_PAGE,
        older_than,
        lambda **place: own_page + (f"?{urlencode(place)}" if place else ""),
    )
    attempts = page.rows
    jobs = jobs_of_log_rows(attempts)
    # One action is one line: that of its job leads to the row of the old audit log that tells of the same.
    log_rows = {job_id: row_id for row_id, job_id in jobs.items()}
    shown = {attempt.attempt_id for attempt in attempts}
    rows = [
        _row(request.user, attempt, jobs.get(attempt.attempt_id), log_rows.get(attempt.attempt_id))
        for attempt in attempts
        if jobs.get(attempt.attempt_id) not in shown
    ]
    return render(request, "live/customer.html", {"cid": cid, "given": cid, "page": page, "rows": rows})


def _check_may_look_up(request: HttpRequest) -> None:
    if not may_look_up_customers(request.user):
        raise PermissionDenied


def _row(user: Any, attempt: Attempt, job_id: uuid.UUID | None, log_row_id: uuid.UUID | None) -> dict[str, Any]:
    return {
        "attempt": attempt,
        "in_full": may_view_in_full(user, attempt),
        "job_id": attempt.attempt_id if attempt.has_job else job_id,
        "log_row_id": log_row_id,
        "tone": TONES[attempt.outcome_group],
    }
