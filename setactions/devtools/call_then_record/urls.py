"""The two views of the stand-in."""

import json
import logging
import time
import uuid

import requests
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from .models import AuditLine, Job, JobCustomer

CALL_S = 30
CIDS_IN_LOG = 10

logger = logging.getLogger(__name__)


@csrf_exempt
@login_required
def proxy_fetch(request: HttpRequest) -> JsonResponse:
    """Call TMS, then record."""
    body = json.loads(request.body)
    payload, headers = body["postData"], {"Authorization": f"Bearer {body['token']}"}
    user, action, cids = request.user.get_username(), payload["action"], payload["cids"]
    logger.info(
        "[SET_ACTION] Starting: user=%s, action=%s, cid_count=%d, cids=%s", user, action, len(cids), cids[:CIDS_IN_LOG]
    )
    begin = time.monotonic()
    answer = requests.post(body["url"], json=payload, headers=headers, timeout=CALL_S)
    data, duration_ms = answer.json(), round((time.monotonic() - begin) * 1000)
    job_id = None
    if data.get("success"):
        logger.info("[SET_ACTION] Creating job: user=%s, action=%s", user, action)
        job = Job.objects.create(
            job_id=str(uuid.uuid4()),
            user_id=user,
            action_code=2,
            action_name=action,
            cluster_url=body["url"],
            request_payload=payload,
            response_summary=data,
            status="SUCCESS",
        )
        JobCustomer.objects.bulk_create([JobCustomer(job=job, cid=cid) for cid in cids])
        job_id = job.job_id
        logger.info("[SET_ACTION] SUCCESS: Job created with job_id=%s", job_id)
    logger.info("[SET_ACTION] Logging audit: user=%s, action=%s", user, action)
    AuditLine.objects.create(
        user_id=user,
        action_type=action,
        customer_ids=cids,
        ip_address=request.META["REMOTE_ADDR"],
        status="success" if job_id else "failed",
        duration_ms=duration_ms,
    )
    return JsonResponse({"outcome": "accepted" if job_id else "rejected", "job_id": job_id, "data": data})


@login_required
def mine(request: HttpRequest) -> JsonResponse:
    """List the user's newest 50 Jobs."""
    columns = ("job_id", "user_id", "action_code", "action_name", "cluster_url", "created_at", "status")
    jobs = Job.objects.filter(user_id=request.user.get_username()).order_by("-created_at").values(*columns)[:50]
    rows = [job | {"created_at": job["created_at"].isoformat()} for job in jobs]
    return JsonResponse({"success": True, "jobs": rows})


urlpatterns = [path("proxy_fetch", proxy_fetch), path("api/jobs/mine", mine)]
