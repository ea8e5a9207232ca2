"""The pages of a Set Action: form, review, and the lasting page of each attempt."""

import uuid
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_GET, require_http_methods

from audit.models import Attempt, Outcome
from audit.selectors import attempt_for, opening_body
from audit.services import find_duplicate
from setactions import service
from setactions.actions import find_action
from setactions.clusters import all_clusters
from setactions.forms import NewActionForm
from setactions.permissions import may_set_action
from setactions.refusal import Refusal
from setactions.results import is_running, result_of
from setactions.sealing import Review, load_review, seal_token, sign_review, unseal_token
from setactions.submission import Submission
from setactions.token import Token
from tmsdash.text import printable

SOURCE = "form"
SENT_IN_VAIN = (Outcome.REJECTED, Outcome.NOT_SENT, Outcome.NOT_APPLIED)
SHOWN = 10  # ids at either end of a long list


@require_GET
def new_action(request: HttpRequest) -> HttpResponse:
    """Show the form; who may not trigger Set Actions is shown the jobs instead."""
    if not may_set_action(request.user):
        return redirect("job_list")
    return _form_page(request, NewActionForm())


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
        return _form_page(request, form, status=400)
    to_review = Review(uuid.uuid4(), form.submission)
    sealed = seal_token(form.secret, request.user.get_username(), to_review.attempt_id)
    return _review_page(request, to_review, sealed)


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
        reviewed = load_review(request.POST.get("review", ""), user_id)
    except Refusal as refusal:
        return _form_page(request, NewActionForm(), status=refusal.code, error=refusal.message)
    try:
        token = _token_of(request, user_id, reviewed.attempt_id)
    except Refusal as refusal:
        return _review_page(request, reviewed, "", status=refusal.code, error=refusal.message)
    result = service.set_action(
        user=request.user,
        submission=reviewed.submission,
        token=token,
        source=SOURCE,
        ip_address=request.META.get("REMOTE_ADDR", ""),
        attempt_id=reviewed.attempt_id,
        send_again="send_again" in request.POST,
    )
    if result.refusal_code == 400:  # the list holds the token, so it is not shown again
        return _form_page(request, NewActionForm(), status=400, error=result.message)
    if result.outcome == Outcome.REFUSED:
        sealed = request.POST.get("sealed", "")  # keeps its ten minutes
        if request.POST.get("token"):
            sealed = seal_token(token, user_id, reviewed.attempt_id)
        return _review_page(request, reviewed, sealed, status=result.refusal_code or 400, error=result.message)
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
        reviewed = load_review(request.POST.get("review", ""), request.user.get_username())
    except Refusal as refusal:
        return _form_page(request, NewActionForm(), status=refusal.code, error=refusal.message)
    submission = reviewed.submission
    initial = {
        "cluster": submission.cluster.name,
        "action": submission.action.label,
        "cids": "\n".join(submission.cids),
    }
    return _form_page(request, NewActionForm(initial=initial))


@never_cache
@require_GET
def attempt(request: HttpRequest, attempt_id: uuid.UUID) -> HttpResponse:
    """Show what became of an attempt, now and whenever somebody comes back to it."""
    found = attempt_for(request.user, attempt_id)
    if found is None:
        raise Http404
    opening, result = opening_body(found), result_of(found)
    context = {
        "attempt": found,
        "result": result,
        "opening": opening,
        "message": printable(result.message),
        "again": _signed_again(request, found, opening),
        "running": is_running(found),
    } | _ends(opening["cids"])
    return render(request, "setactions/attempt.html", context)


def _signed_again(request: HttpRequest, attempt: Attempt, opening: dict[str, Any]) -> str:
    """Return the list of an attempt that applied nothing, signed for going back to the form with it; else ""."""
    cluster = next((cluster for cluster in all_clusters() if cluster.origin == attempt.cluster_url), None)
    action = find_action(attempt.action_name)
    is_own = attempt.user_id == request.user.get_username()
    if not is_own or attempt.outcome not in SENT_IN_VAIN or cluster is None or action is None:
        return ""
    submission = Submission(cluster, action, opening["action_sent"], tuple(opening["cids"]))
    return sign_review(Review(uuid.uuid4(), submission), attempt.user_id)


def _form_page(request: HttpRequest, form: NewActionForm, *, status: int = 200, error: str = "") -> HttpResponse:
    context = {"form": form, "error": error, "max_cids": settings.TMS_MAX_CIDS_PER_CALL}
    return render(request, "setactions/new_action.html", context, status=status)


def _review_page(
    request: HttpRequest, reviewed: Review, sealed: str, *, status: int = 200, error: str = ""
) -> HttpResponse:
    """Show the list that would be sent; without a sealed token the page asks for it once more."""
    submission = reviewed.submission
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
        "error": error,
    } | _ends(submission.cids)
    return render(request, "setactions/review.html", context, status=status)


@sensitive_variables()
def _token_of(request: HttpRequest, user_id: str, attempt_id: uuid.UUID) -> Token:
    """Return the token that was sealed on the way to the review page, or typed there once more."""
    typed = request.POST.get("token", "").strip()
    return Token(typed) if typed else unseal_token(request.POST.get("sealed", ""), user_id, attempt_id)


def _ends(cids: Any) -> dict[str, Any]:
    """Return the first and the last ids of a list, and how many lie between."""
    if len(cids) <= 2 * SHOWN:
        return {"first_cids": cids, "last_cids": (), "hidden_count": 0}
    return {"first_cids": cids[:SHOWN], "last_cids": cids[-SHOWN:], "hidden_count": len(cids) - 2 * SHOWN}
