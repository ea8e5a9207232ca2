"""Live state for scripts, in JSON: read with the token of a request, or without one what was read last.

The token comes as `Authorization: Bearer …`, never in the address, which ends up in logs.
"""

import uuid
from collections import Counter
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables

from jobs.live.codes import state_name
from jobs.live.confirmations import customers_shown, states_of_job
from jobs.models import Job
from jobs.selectors import job_for
from setactions.live.confirmations import confirm_job
from setactions.permissions import check_may_set_action
from setactions.reads import ReadingFailedError
from setactions.refusal import Refusal
from setactions.token import Token
from tmsdash.web.errors import error_json, json_get


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


def _actions(job: Job) -> dict[str, Any]:
    states, counts = states_of_job(job), Counter[str]()
    for part in states.parts:
        counts[part.state] += part.count
    return {
        "success": True,
        "job_id": str(job.job_id),
        "read_at": states.oldest.ended_at.isoformat() if states.oldest else None,
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
