"""The steps of a Set Action up to sending it: the form, its review, and sending what was reviewed."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import Error as AnyDatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from audit.actors import actor_of
from audit.choices import IN_DOUBT_OUTCOMES, Outcome, Source
from audit.models import Attempt
from audit.selectors import open_attempts_of
from jobs.signatures import signed_jobs
from setactions import service
from setactions.inputs.csv_table import as_text
from setactions.pages.forms import NewActionForm
from setactions.pages.given_lists import digest_of
from setactions.pages.last_use import last_use, remember
from setactions.pages.review import (
    check_confirmed,
    refused_page,
    review_of,
    review_page,
    token_of,
    without_overlap,
    word_of,
)
from setactions.pages.sealing import Review, seal_for_another, seal_token
from setactions.pages.sent_reviews import ReviewEnded, is_configured, was_sent
from setactions.pages.touches import page_about_touches
from setactions.payload import Submission
from setactions.permissions import may_set_action
from setactions.refusal import Refusal
from tmsdash.db.transactions import drop_if_broken
from tmsdash.rates import WINDOW_S

REMINDERS_SHOWN = 10


@require_safe
def new_action(request: HttpRequest) -> HttpResponse:
    """Show the form; users who may not send Set Actions are led to the jobs instead."""
    if not may_set_action(request.user):
        return redirect("job_list")
    return form_page(request, NewActionForm(initial=last_use(request)))


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
    form = NewActionForm(request.POST, request.FILES, user=request.user)
    if not form.is_valid():
        form.keep_upload()
        return form_page(request, form, status=400)
    to_review = Review.of(form.submission, form.file_name)
    page = review_page(request, to_review, seal_token(form.secret, request.user.get_username(), to_review.attempt_id))
    remember(request, page, form.submission)
    return page


def reviewed_step(view: Callable[[HttpRequest, Review], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Give a view what the user reviewed. Without a valid review, or on a GET, the form is shown again."""

    @never_cache
    @sensitive_post_parameters()
    @require_http_methods(["GET", "POST"])
    @wraps(view)
    @sensitive_variables()
    def step(request: HttpRequest) -> HttpResponse:
        if request.method == "GET":
            return redirect("new_action")
        try:
            reviewed = review_of(request)
        except Refusal as refusal:
            if not may_set_action(request.user):
                raise PermissionDenied from None
            return form_page(request, NewActionForm(), status=refusal.code, error=refusal.message)
        return view(request, reviewed)

    return step


@reviewed_step
@sensitive_variables()
def send(request: HttpRequest, reviewed: Review) -> HttpResponse:
    """Send what was reviewed and lead to the attempt's page; after a refusal the review page comes back."""
    sealed = ""
    try:
        if was_sent(reviewed, request.user.get_username(), is_batch=False):
            return redirect("attempt", attempt_id=reviewed.attempt_id)
        token, sealed = token_of(request, reviewed.attempt_id)
        check_confirmed(request, reviewed.submission)
        if page := page_about_touches(request, reviewed, sealed):
            return page
    except ReviewEnded as refusal:
        return review_again(request, reviewed, refusal)
    except Refusal as refusal:
        return refused_page(request, reviewed, sealed, refusal)
    result = service.set_action(
        user=request.user,
        actor=actor_of(request, Source.FORM),
        submission=reviewed.to_send,
        token=token,
        attempt_id=reviewed.attempt_id,
        word=word_of(request, reviewed),
    )
    if result.outcome != Outcome.REFUSED:
        return redirect("attempt", attempt_id=result.attempt_id)
    if result.refusal_code not in (400, 429):
        return refused_page(request, reviewed, sealed, result)
    # A 400 means that the token stands among the ids: such a list is not shown again.
    page = form_page(request, NewActionForm(), status=result.refusal_code, error=result.message)
    if result.refusal_code == 429:
        page["Retry-After"] = str(WINDOW_S)
    return page


@reviewed_step
def edit(request: HttpRequest, reviewed: Review) -> HttpResponse:
    """Show the form filled in but for the token, on the way back from the review page or from an attempt's."""
    if not may_set_action(request.user):
        raise PermissionDenied
    return form_page(request, filled_in_form(reviewed.submission, reviewed.file_name))


@reviewed_step
@sensitive_variables()
def leave_out(request: HttpRequest, reviewed: Review) -> HttpResponse:
    """Show the list for another review without the customers who were asked for already."""
    return narrowing_step(request, reviewed, without_overlap)


@sensitive_variables()
def narrowing_step(request: HttpRequest, reviewed: Review, narrow: Callable[[Review], Review]) -> HttpResponse:
    """Show what `narrow` leaves of a list for another review; it raises Refusal if that is nobody."""
    if not may_set_action(request.user):
        raise PermissionDenied
    user_id, sealed, sealed_for_rest = request.user.get_username(), "", ""
    with suppress(Refusal):  # the next page asks for the token
        sealed = token_of(request, reviewed.attempt_id)[1]
    try:
        if was_sent(reviewed, user_id, is_batch=reviewed.is_batch):
            return redirect("batch" if reviewed.is_batch else "attempt", reviewed.attempt_id)
        rest = narrow(reviewed)
    except ReviewEnded as refusal:
        return review_again(request, reviewed, refusal)
    except Refusal as refusal:
        return refused_page(request, reviewed, sealed, refusal)
    with suppress(Refusal):
        sealed_for_rest = seal_for_another(sealed, user_id, reviewed.attempt_id, rest.attempt_id)
    return review_page(request, rest, sealed_for_rest)


def review_again(request: HttpRequest, ended: Review, refusal: ReviewEnded) -> HttpResponse:
    """Show the list of a review that has ended for another one; on the form, if that has to be asked something."""
    if is_configured(ended.submission.cluster) and not ended.submission.lacks_word:
        fresh = replace(
            Review.of(ended.submission, ended.file_name, ended.left_out), check_afterwards=ended.check_afterwards
        )
        return review_page(request, fresh, "", status=refusal.code, error=refusal.message)
    form = filled_in_form(ended.submission, ended.file_name)
    return form_page(request, form, status=refusal.code, error=refusal.message)


def filled_in_form(submission: Submission, file_name: str = "") -> NewActionForm:
    """Return the form with everything but the token, and without a cluster that the settings lack.

    `file_name` is that of the file that the list came from, if it did.
    """
    text = as_text(submission.cids)
    initial = {
        "action": submission.action.label,
        "cids": text,
        "list_name": file_name,
        "list_digest": digest_of(text) if file_name else "",
        "note": submission.note,
        "allow_unusual": submission.allow_unusual,
    }
    cluster = submission.cluster
    return NewActionForm(initial=initial | ({"cluster": cluster.name} if is_configured(cluster) else {}))


def form_page(request: HttpRequest, form: NewActionForm, *, status: int = 200, error: str = "") -> HttpResponse:
    """Show the form, below a reminder of the user's attempts in doubt."""
    context = {
        "form": form,
        "error": error,
        "max_cids": settings.TMS_MAX_CIDS_PER_CALL,
        "max_bytes": settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
        "chunk": settings.TMS_BATCH_CHUNK,
        "calls": settings.TMS_BATCH_CALLS,
        "in_doubt": _in_doubt_of(request.user),
    }
    return render(request, "setactions/new_action.html", context, status=status)


def _in_doubt_of(user: Any) -> list[Attempt]:
    """Return the user's attempts with an unknown outcome; none, too, without the database: sending then says so."""
    with suppress(AnyDatabaseError), drop_if_broken("audit", "jobs"):
        oldest = open_attempts_of(user).filter(outcome__in=IN_DOUBT_OUTCOMES)[:REMINDERS_SHOWN]
        in_doubt = [attempt for attempt in oldest if attempt.is_in_doubt]  # those that still run are the newest
        recorded = signed_jobs([attempt.attempt_id for attempt in in_doubt])  # their outcome is known after all
        return [attempt for attempt in in_doubt if attempt.attempt_id not in recorded]
    return []
