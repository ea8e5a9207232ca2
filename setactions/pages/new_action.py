"""The pages of a Set Action before it is sent: form and review. The page of each attempt is in attempt_views."""

import uuid
from math import ceil
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, connections
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from audit.actors import actor_of
from audit.choices import IN_DOUBT_OUTCOMES, Outcome, Source
from audit.models import Attempt
from audit.selectors import find_duplicate, open_attempts_of
from jobs.batches.lists import ListDigest
from jobs.batches.selectors import batches_of_list
from jobs.models import Batch
from jobs.selectors import may_view_all_jobs
from jobs.signatures import signed_jobs
from setactions import service
from setactions.confirmation import check_typed_count, must_type_count
from setactions.inputs.csv_table import as_text
from setactions.pages.forms import NewActionForm
from setactions.pages.sealing import Review, load_review, seal_token, sign_review, unseal_token
from setactions.permissions import may_set_action
from setactions.refusal import Refusal, Unverified
from setactions.submission import Submission, check_fits_one_call, find_overlap_warnings, fits_one_call, new_chunk
from setactions.token import Token
from tmsdash.rates import WINDOW_S
from tmsdash.web.access_log import log_refused

SHOWN = 10  # ids at either end of a long list


@require_safe
def new_action(request: HttpRequest) -> HttpResponse:
    """Show the form; who may not trigger Set Actions is shown the jobs instead."""
    if not may_set_action(request.user):
        return redirect("job_list")
    return form_page(request, NewActionForm())


@never_cache
@sensitive_post_parameters()
@sensitive_variables()
@require_http_methods(["GET", "POST"])
def review(request: HttpRequest) -> HttpResponse:
    """Check the form and show what would be sent. Nothing is sent or recorded yet."""
    if request.method == "GET":
        return redirect("new_action")
    if not may_set_action(request.user):
        raise PermissionDenied
    form = NewActionForm(request.POST, request.FILES)
    if not form.is_valid():
        return form_page(request, form, status=400)
    upload = form.cleaned_data["csv_file"]
    to_review = Review(uuid.uuid4(), form.submission, upload.name if upload else "")
    sealed = seal_token(form.secret, request.user.get_username(), to_review.attempt_id)
    return review_page(request, to_review, sealed)


@never_cache
@sensitive_post_parameters()
@sensitive_variables()
@require_http_methods(["GET", "POST"])
def send(request: HttpRequest) -> HttpResponse:
    """Carry out what was reviewed, and lead to the attempt's page; what is refused comes back for review."""
    if request.method == "GET":
        return redirect("new_action")
    user_id = request.user.get_username()
    try:
        reviewed = review_of(request)
    except Refusal as refusal:
        if not may_set_action(request.user):
            raise PermissionDenied from None
        return form_page(request, NewActionForm(), status=refusal.code, error=refusal.message)
    try:
        check_fits_one_call(reviewed.submission)
        check_confirmed(request, reviewed.submission)
        token = token_of(request, user_id, reviewed.attempt_id)
    except Refusal as refusal:
        sealed = kept_seal(request, user_id, reviewed.attempt_id)
        return review_page(request, reviewed, sealed, status=refusal.code, error=refusal.message)
    result = service.set_action(
        user=request.user,
        actor=actor_of(request, Source.FORM),
        submission=reviewed.submission,
        token=token,
        attempt_id=reviewed.attempt_id,
        send_again="send_again" in request.POST,
    )
    if result.refusal_code in (400, 429):  # the list holds the token, so it is not shown again
        page = form_page(request, NewActionForm(), status=result.refusal_code, error=result.message)
        if result.refusal_code == 429:
            page["Retry-After"] = str(WINDOW_S)
        return page
    if result.outcome == Outcome.REFUSED:
        sealed = kept_seal(request, user_id, reviewed.attempt_id)
        return review_page(request, reviewed, sealed, status=result.refusal_code or 400, error=result.message)
    return redirect("attempt", attempt_id=result.attempt_id)


@never_cache
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest) -> HttpResponse:
    """Show the form with everything but the token filled in: back from the review page, or again from an attempt."""
    if request.method == "GET":
        return redirect("new_action")
    if not may_set_action(request.user):
        raise PermissionDenied
    try:
        reviewed = review_of(request)
    except Refusal as refusal:
        return form_page(request, NewActionForm(), status=refusal.code, error=refusal.message)
    submission = reviewed.submission
    initial = {
        "cluster": submission.cluster.name,
        "action": submission.action.label,
        "cids": as_text(submission.cids),
    }
    return form_page(request, NewActionForm(initial=initial))


def form_page(request: HttpRequest, form: NewActionForm, *, status: int = 200, error: str = "") -> HttpResponse:
    context = {
        "form": form,
        "error": error,
        "max_cids": settings.TMS_MAX_CIDS_PER_CALL,
        "in_doubt": _in_doubt_of(request.user),
    }
    return render(request, "setactions/new_action.html", context, status=status)


def _in_doubt_of(user: Any) -> list[Attempt]:
    """Return the user's attempts that wait for being found out, for a reminder above the form."""
    try:
        in_doubt = open_attempts_of(user).filter(outcome__in=IN_DOUBT_OUTCOMES)
        waiting = [attempt for attempt in in_doubt if attempt.is_in_doubt][:SHOWN]
        there = signed_jobs([attempt.attempt_id for attempt in waiting])  # then it is no doubt any more
        return [attempt for attempt in waiting if attempt.attempt_id not in there]
    except DatabaseError:
        connections["audit"].close()
        return []  # the form is of use without it; sending will say that the audit is not there


def review_page(
    request: HttpRequest, reviewed: Review, sealed: str, *, status: int = 200, error: str = ""
) -> HttpResponse:
    """Show the list that would be sent; without a sealed token the page asks for it once more."""
    submission = reviewed.submission
    is_batch = not fits_one_call(submission)
    try:
        duplicate = find_duplicate(submission.list_digest, settings.TMS_DUPLICATE_WINDOW_S)
    except DatabaseError:
        duplicate = None  # sending will say that the audit is not there, and keep the list
    context = {
        "review": reviewed,
        "submission": submission,
        "signed": sign_review(reviewed, request.user.get_username()),
        "sealed": sealed,
        "duplicate": duplicate,
        "overlaps": find_overlap_warnings(submission),
        "chunks": ceil(len(submission.cids) / settings.TMS_BATCH_CHUNK) if is_batch else 0,
        "same_list": _batches_of_same_list(submission) if is_batch else [],
        "may_view_all": may_view_all_jobs(request.user),
        "chunk_size": settings.TMS_BATCH_CHUNK,
        "calls_at_once": settings.TMS_BATCH_CALLS,
        "must_type_count": must_type_count(submission.cluster, len(submission.cids)),
        "error": error,
    } | ends_of(submission.cids)
    return render(request, "setactions/review.html", context, status=status)


def _batches_of_same_list(submission: Submission) -> list[Batch]:
    """Return the last batches of a day that were given the same list, for a warning."""
    digest = str(ListDigest([new_chunk(submission, submission.cids)]))
    try:
        return list(batches_of_list(digest)[:SHOWN])
    except DatabaseError:
        connections["jobs"].close()
        return []  # starting will say that the jobs database is not there


def review_of(request: HttpRequest) -> Review:
    """Return what its user reviewed; raises Refusal (400) if it is not valid (any more), and logs who forged it."""
    try:
        return load_review(request.POST.get("review", ""), request.user.get_username())
    except Unverified:
        log_refused(request, "its review does not verify")
        raise


@sensitive_variables()
def token_of(request: HttpRequest, user_id: str, attempt_id: uuid.UUID) -> Token:
    """Return the token that was sealed on the way to the review page, or typed there once more.

    Raises Refusal (400) if there is none that is of use, and logs who forged a sealed one.
    """
    typed = request.POST.get("token", "").strip()
    try:
        return Token(typed) if typed else unseal_token(request.POST.get("sealed", ""), user_id, attempt_id)
    except Unverified:
        log_refused(request, "its sealed token does not verify")
        raise


@sensitive_variables()
def kept_seal(request: HttpRequest, user_id: str, attempt_id: uuid.UUID) -> str:
    """Return the token that came with a review, sealed for the next showing of it; empty if it is of no use."""
    try:
        token = token_of(request, user_id, attempt_id)
    except Refusal:
        return ""
    # What was sealed before keeps its ten minutes.
    return seal_token(token, user_id, attempt_id) if request.POST.get("token") else request.POST.get("sealed", "")


def check_confirmed(request: HttpRequest, submission: Submission) -> None:
    """Raise Refusal (400) if the number of customers has to be typed, and was not."""
    if must_type_count(submission.cluster, len(submission.cids)):
        check_typed_count(request.POST.get("confirm", ""), len(submission.cids))


def ends_of(cids: Any) -> dict[str, Any]:
    """Return the first and the last ids of a list, and how many lie between, as the templates show them."""
    if len(cids) <= 2 * SHOWN:
        return {"first_cids": cids, "last_cids": (), "hidden_count": 0}
    return {"first_cids": cids[:SHOWN], "last_cids": cids[-SHOWN:], "hidden_count": len(cids) - 2 * SHOWN}
