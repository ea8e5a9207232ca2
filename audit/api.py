"""Reads of the audit for scripts, in JSON."""

import uuid
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache

from audit.models import Attempt
from audit.selectors import attempts_of_customer, jobs_of_log_rows, may_look_up_customers, may_view_in_full
from tmsdash.web.errors import error_json, json_get, limit_of


@never_cache
@json_get
def customer(request: HttpRequest, cid: str) -> JsonResponse:
    """List what was tried with a customer, newest first.

    Everybody sees when, who, which action and outcome, because operators must not send what a colleague has already
    sent. Addresses, errors, ids and sizes are for auditors, and for who made the attempt.
    """
    limit = limit_of(request)
    if not may_look_up_customers(request.user):
        return error_json(403, "Your account may not see this. Ask an administrator for the permission.", "user")
    attempts = attempts_of_customer(cid)[:limit]
    jobs = jobs_of_log_rows(attempts)
    records = [
        _record(attempt, jobs.get(attempt.attempt_id), in_full=may_view_in_full(request.user, attempt))
        for attempt in attempts
    ]
    return JsonResponse({"success": True, "customer_id": cid, "count": len(records), "records": records})


def _record(attempt: Attempt, job_id: uuid.UUID | None, *, in_full: bool) -> dict[str, Any]:
    job_id = attempt.attempt_id if attempt.has_job else job_id
    record: dict[str, Any] = {
        "attempt_id": str(attempt.attempt_id),
        "user_id": attempt.user_id,
        "action_type": attempt.action_name,
        "status": attempt.outcome,
        "timestamp": attempt.created_at.isoformat(),
        "ip_address": attempt.ip_address,
        "error_message": attempt.error_message or None,
        "customer_count": attempt.customer_count,
        "job_id": str(job_id) if job_id else None,
    }
    if not in_full:
        record |= dict.fromkeys(["attempt_id", "ip_address", "error_message", "customer_count", "job_id"])
    return record
