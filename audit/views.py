"""Everything that was ever asked for one customer, and the evidence pack of one attempt."""

import uuid
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_safe

from audit.actors import Actor
from audit.choices import Kind, OutcomeGroup
from audit.exports import PACKS_PER_MINUTE, WAIT_S, answer_export, packs
from audit.models import CID_LENGTH, Attempt
from audit.proof.evidence import gather, pack
from audit.selectors import (
    attempt_for,
    attempts_of_customer,
    entries_of,
    jobs_of_log_rows,
    may_look_up_customers,
    may_view_in_full,
    older_than,
)
from audit.services import record_fact
from tmsdash.web.errors import error_response
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
    return render(request, "audit/customer.html", context, status=400 if error else 200)


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
    return render(request, "audit/customer.html", {"cid": cid, "given": cid, "page": page, "rows": rows})


@never_cache
@require_GET
def evidence(request: HttpRequest, attempt_id: uuid.UUID) -> HttpResponseBase:
    """Download the evidence pack of an attempt, which the audit notes first."""
    attempt = attempt_for(request.user, attempt_id)
    if not entries_of(attempt).exists():
        return error_response(
            request, 410, "The events of this attempt are in an archive: audit_verify reads it there."
        )

    def noted_pack(actor: Actor) -> HttpResponse:
        body = {"what": "evidence", "attempt_id": str(attempt_id)}
        record_fact(Kind.EXPORTED, body, actor=actor, wait_s=WAIT_S)
        headers = {"Content-Disposition": f'attachment; filename="evidence-{attempt_id}.zip"'}
        return HttpResponse(pack(gather(attempt), actor.user_id), content_type="application/zip", headers=headers)

    return answer_export(request, packs, PACKS_PER_MINUTE, noted_pack)


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
