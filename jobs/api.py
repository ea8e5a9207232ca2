"""Reads of jobs for scripts, in JSON."""

import uuid
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache

from jobs.selectors import all_cids_of, job_for, jobs_of
from tmsdash.downloads import IncompleteError
from tmsdash.web.errors import error_json, json_get, limit_of

SHOWN = (
    *("job_id", "user_id", "batch_id", "action_code", "action_name", "cluster_url"),
    *("created_at", "status", "http_status", "customer_count"),
)


def job_json(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job, of which these columns and `legacy` are given, as scripts see it in lists."""
    shown = {name: job[name] for name in SHOWN}
    shown["job_id"], shown["created_at"] = str(job["job_id"]), job["created_at"].isoformat()
    shown["batch_id"] = str(job["batch_id"]) if job["batch_id"] else None
    return shown | ({"legacy": True} if job["legacy"] else {})


@never_cache
@json_get
def mine(request: HttpRequest) -> JsonResponse:
    """List the user's own jobs, newest first."""
    jobs = [job_json(job) for job in jobs_of(request.user).values(*SHOWN, "legacy")[: limit_of(request)]]
    return JsonResponse({"success": True, "user_id": request.user.get_username(), "job_count": len(jobs), "jobs": jobs})


@never_cache
@json_get
def detail(request: HttpRequest, job_id: uuid.UUID) -> JsonResponse:
    """Return one job with what was sent and what TMS answered."""
    job = job_for(request.user, job_id)
    if job is None:
        return _no_such_job()
    sent_and_answered = {"request_payload": job.request_payload, "response_summary": job.response_summary}
    return JsonResponse(job_json(vars(job)) | sent_and_answered)


@never_cache
@json_get
def customers(request: HttpRequest, job_id: uuid.UUID) -> JsonResponse:
    """List all customers of one job in the order in which they were given."""
    job = job_for(request.user, job_id)
    if job is None:
        return _no_such_job()
    try:
        cids = all_cids_of(job)
    except IncompleteError as error:
        return error_json(500, str(error), "job_id")
    return JsonResponse({"success": True, "job_id": str(job.job_id), "customer_count": len(cids), "customers": cids})


def _no_such_job() -> JsonResponse:
    return error_json(404, "There is no such job, or it belongs to somebody else.", "job_id")
