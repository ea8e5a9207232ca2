"""What the buttons of a job's card *Live state* do: read what TMS shows, and lead those who are behind to a review."""

import uuid
from contextlib import suppress

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods

from audit.choices import Action
from audit.selectors import note_of
from jobs.live.confirmations import rest_of
from jobs.models import Job
from jobs.views import job_page, load_job
from setactions.live.confirmations import confirm_batch, confirm_job
from setactions.pages.batches import batch_page
from setactions.pages.batches import load as load_batch
from setactions.pages.review import token_of
from setactions.pages.review_steps import lead_to_new
from setactions.pages.sealing import Review, seal_for_another
from setactions.payload import Submission, narrowed, wire_name
from setactions.permissions import may_set_action
from setactions.reads import ReadingFailedError
from setactions.refusal import Refusal
from setactions.tms.clusters import cluster_at
from setactions.tms.spellings import find_action


@never_cache
@sensitive_post_parameters()
@sensitive_variables()
@require_http_methods(["GET", "POST"])
def verify(request: HttpRequest, job_id: uuid.UUID) -> HttpResponse:
    """Read what TMS shows of a job's customers; its page then shows it, or why it could not be read."""
    job = load_job(request, job_id)
    if request.method == "GET":
        return redirect("job_detail", job_id=job_id)
    if not may_set_action(request.user):
        raise PermissionDenied
    sealed = ""
    try:
        token, sealed = token_of(request, job_id)
        confirm_job(job, token, request.user.get_username())
    except Refusal as refusal:
        return job_page(request, job, status=refusal.code, error=refusal.message, sealed=sealed)
    except ReadingFailedError as error:
        kept = "" if error.bad_token else sealed
        return job_page(request, job, status=502, error=str(error), sealed=kept)
    return job_page(request, job, sealed=sealed)


@never_cache
@sensitive_post_parameters()
@sensitive_variables()
@require_http_methods(["GET", "POST"])
def verify_batch(request: HttpRequest, batch_id: uuid.UUID) -> HttpResponse:
    """Read what TMS shows of what was accepted of a batch; its page then shows it, or why it could not be read."""
    batch = load_batch(request, batch_id)
    if request.method == "GET":
        return redirect("batch", batch_id=batch_id)
    if not may_set_action(request.user):
        raise PermissionDenied
    try:
        check = confirm_batch(batch, token_of(request, batch_id)[0], request.user.get_username())
    except Refusal as refusal:
        return batch_page(request, batch, status=refusal.code, error=refusal.message)
    status = 502 if check.problems else 200
    return batch_page(request, batch, status=status, error=" ".join(check.problems), check=check)


@never_cache
@sensitive_post_parameters()
@sensitive_variables()
@require_http_methods(["GET", "POST"])
def rest(request: HttpRequest, job_id: uuid.UUID) -> HttpResponse:
    """Lead to the review of a new attempt, for a job's customers who are known not to have come to its action."""
    job = load_job(request, job_id)
    if request.method == "GET":
        return redirect("job_detail", job_id=job_id)
    if not may_set_action(request.user):
        raise PermissionDenied
    submission, sealed = _rest(job), ""
    if submission is None:
        return redirect("job_detail", job_id=job_id)
    review = Review.of(submission)
    with suppress(Refusal):  # the review page asks for the token
        user_id, sealed_here = request.user.get_username(), token_of(request, job_id)[1]
        sealed = seal_for_another(sealed_here, user_id, job_id, review.attempt_id)
    try:
        return lead_to_new(request, review, sealed=sealed)
    except Refusal as refusal:
        return job_page(request, job, status=refusal.code, error=refusal.message)


def _rest(job: Job) -> Submission | None:
    """Return the job's action for the rest of its customers; None if there are none, or its cluster is gone."""
    cluster, cids = cluster_at(job.cluster_url), rest_of(job)
    if cluster is None or not cids:
        return None
    payload, action = job.stored_payload, Action(job.action_code)
    sent = payload.get("action") if isinstance(payload, dict) else None
    spelling = sent if isinstance(sent, str) and find_action(sent) == action else wire_name(action)
    return narrowed(Submission(cluster, action, spelling, (), note=note_of(job.job_id)), cids)
