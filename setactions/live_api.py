"""Live state for scripts, in JSON: read with the token of a request, or without one what was read last.

The token comes as `Authorization: Bearer …`, never in the address, which ends up in logs.
"""

import uuid
from collections import Counter
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables

from jobs.app_status.filters import MISSING
from jobs.app_status.selectors import customers_with_apps, newest_run_of_job, numbers_of
from jobs.live.codes import state_name
from jobs.live.confirmations import customers_shown, states_of_job
from jobs.models import AppRun, Job
from jobs.selectors import job_for
from setactions.app_status import service
from setactions.live.confirmations import confirm_job
from setactions.permissions import check_may_set_action
from setactions.reads import ReadingFailedError
from setactions.refusal import Refusal
from setactions.token import Token
from tmsdash.web.errors import error_json, json_get

ASK_AGAIN_S = 10  # while customers are read one after the other


@never_cache
@json_get
@sensitive_variables()
def job_actions(request: HttpRequest, job_id: uuid.UUID) -> JsonResponse:
    """Tell what TMS shows of a job's customers, who are read now if the request has a token."""
    job = job_for(request.user, job_id)
    if job is None:
        return error_json(404, "There is no such job, or it belongs to somebody else.", "job_id")
    try:
        if token := bearer_token(request):
            check_may_set_action(request.user)
            confirm_job(job, token, request.user.get_username())
    except Refusal as refusal:
        return error_json(refusal.code, refusal.message, next(iter(refusal.errors)))
    except ReadingFailedError as error:
        return failed_reading(error)
    return JsonResponse(_actions(job))


@sensitive_variables()
def bearer_token(request: HttpRequest) -> Token | None:
    """Return the token of a request, None without one; raises Refusal (400) if it is not valid."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    return Token(text.strip()) if scheme.lower() == "bearer" else None


def failed_reading(error: ReadingFailedError) -> JsonResponse:
    """Return the answer if TMS could not be read: 504 if it took too long, else 502."""
    return error_json(504 if error.timed_out else 502, str(error), "token" if error.bad_token else "request")


@never_cache
@json_get
@sensitive_variables()
def job_appstatus(request: HttpRequest, job_id: uuid.UUID) -> JsonResponse:
    """Tell what TMS shows of the apps of a job's customers: what was read last, or, with a token, what is read for it.

    Customers are read one after the other, in the background: 202 until that is over, so a script asks again.
    """
    job = job_for(request.user, job_id)
    if job is None:
        return error_json(404, "There is no such job, or it belongs to somebody else.", "job_id")
    run = newest_run_of_job(request.user, job_id)
    service.stop_dead_runs([run] if run else [])
    try:
        if token := bearer_token(request):
            run = service.run_for_script(user=request.user, job=job, token=token)
    except Refusal as refusal:
        return error_json(refusal.code, refusal.message, next(iter(refusal.errors)))
    is_unfinished = run is not None and run.state in (AppRun.State.RUNNING, AppRun.State.PAUSED)
    answer = JsonResponse(_appstatus(job, run), status=202 if is_unfinished else 200)
    if is_unfinished:
        answer["Retry-After"] = str(ASK_AGAIN_S)
    return answer


def _appstatus(job: Job, run: AppRun | None) -> dict[str, Any]:
    answer: dict[str, Any] = {"success": True, "job_id": str(job.job_id), "customer_count": job.customer_count}
    if run is None:
        return answer | {"run_id": None, "state": None, "counts": {}, "apps": {}, "customers": []}
    summary, matrix = numbers_of(run)
    return answer | {
        "run_id": str(run.run_id),
        "state": run.state,
        "reason": run.reason,
        "user_id": run.user_id,
        "created_at": run.created_at.isoformat(),
        "ended_at": run.ended_at.isoformat() if run.ended_at else None,
        "counts": {share.code: share.count for share in summary.shares},
        "apps": {row.app_name: {**row.counts, MISSING: row.missing} for row in matrix},
        "customers": [
            {
                "customer_id": customer.cid,
                "state": customer.state,
                "health": customer.health or None,
                "problem": customer.problem or None,
                "read_at": customer.read_at.isoformat() if customer.read_at else None,
                "apps": [{"app_name": app.app_name, "status": app.status, "reason": app.reason} for app in apps],
            }
            for customer, apps in customers_with_apps(run)
        ],
    }


def _actions(job: Job) -> dict[str, Any]:
    states, counts = states_of_job(job), Counter[str]()
    for part in states.parts:
        counts[part.state] += part.count
    return {
        "success": True,
        "job_id": str(job.job_id),
        "read_at": states.oldest.began_at.isoformat() if states.oldest else None,
        "source": states.oldest.source if states.oldest else None,
        "confirmed": states.confirmed,
        "customer_count": states.customer_count,
        "counts": counts,
        "customers": [
            {
                "customer_id": cid,
                "action_code": part.code,
                "action_name": None if part.code is None else state_name(part.code),
                "confirmed": part.is_confirmed,
            }
            for cid, part in customers_shown(job)
        ],
    }
