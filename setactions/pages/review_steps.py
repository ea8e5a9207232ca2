"""The page of a review, and what its buttons do. Each step leads on: to a review's page, the form, or what was sent."""

import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import wraps

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from audit.actors import actor_of
from audit.choices import Outcome, Source
from setactions import service
from setactions.handover import by_another_thread
from setactions.limits import turn_of_long_list
from setactions.pages.forms import NewActionForm
from setactions.pages.new_action import filled_in_form, form_page
from setactions.pages.review import (
    check_confirmed,
    check_touches,
    notice_of,
    review_of,
    review_token,
    show_review,
    without_overlap,
    word_of,
)
from setactions.pages.review_places import (
    NOTHING_TO_SAY,
    NoReview,
    Notice,
    address_of,
    forget,
    keep,
    lead_to,
    notice_for,
    used,
)
from setactions.pages.sealing import Review, seal_for_another
from setactions.pages.sent_reviews import ReviewEnded, is_configured, sent_as, was_sent
from setactions.permissions import may_set_action
from setactions.refusal import Refusal
from setactions.results import Result
from setactions.token import TokenAmongIds
from tmsdash.web.errors import error_response

RETRY_AFTER_S = 5

View = Callable[[HttpRequest, Review], HttpResponse]
Step = Callable[[HttpRequest, uuid.UUID], HttpResponse]


@never_cache
@require_safe
def review_page(request: HttpRequest, review_id: uuid.UUID) -> HttpResponse:
    """Show a review to its user, for as long as it can be sent; then, what it became."""
    return _with_review(request, review_id, _page)


def _page(request: HttpRequest, review: Review) -> HttpResponse:
    notice, sent = notice_for(request, review.attempt_id), None
    try:
        sent = was_sent(review, request.user.get_username(), is_batch=review.is_batch)
        if sent:
            return _what_it_became(review.attempt_id, is_batch=review.is_batch)
    except ReviewEnded as ended:
        notice = notice if notice != NOTHING_TO_SAY else notice_of(request, ended)
    if not _may_be_shown(review):
        return form_page(
            request, filled_in_form(review.submission, review.file_name), status=notice.status, error=notice.error
        )
    return show_review(request, review, notice, is_unsent=sent is False)


def _may_be_shown(review: Review) -> bool:
    """Whether a review may be offered to be sent, or else has to be asked something on the form."""
    return is_configured(review.submission.cluster) and not review.submission.lacks_word


def _with_review(request: HttpRequest, review_id: uuid.UUID, view: View) -> HttpResponse:
    """Answer with what `view` makes of a review. Long ones have their turn one after the other."""
    with ExitStack() as held:
        try:
            review = review_of(request, review_id)
            held.enter_context(turn_of_long_list(len(review.submission.cids)))
            return view(request, review)
        except Refusal as refusal:
            return _without_review(request, review_id, refusal)


def _without_review(request: HttpRequest, review_id: uuid.UUID, refusal: Refusal) -> HttpResponse:
    """Answer for a review that cannot be shown: with what it became, or with the form and the reason."""
    user_id = request.user.get_username()
    if refusal.code == 503:
        return error_response(request, 503, f"{refusal.message} Your list is kept.", retry_after_s=RETRY_AFTER_S)
    if isinstance(refusal, NoReview) and (is_batch := sent_as(review_id, user_id)) is not None:
        return _what_it_became(review_id, is_batch=is_batch)
    if not may_set_action(request.user):
        raise PermissionDenied
    notice = notice_for(request, review_id)  # why it was dropped
    if notice == NOTHING_TO_SAY:
        notice = Notice(refusal.code, refusal.message)
    return form_page(request, NewActionForm(), status=notice.status, error=notice.error)


def _what_it_became(review_id: uuid.UUID, *, is_batch: bool) -> HttpResponseRedirect:
    return used(redirect("batch" if is_batch else "attempt", review_id), review_id)


def reviewed_step(view: View) -> Step:
    """Give a view what the user reviewed. A GET, as on the way back from signing in, leads to the review's page."""

    @never_cache
    @sensitive_post_parameters()
    @require_http_methods(["GET", "POST"])
    @wraps(view)
    @sensitive_variables()
    def step(request: HttpRequest, review_id: uuid.UUID) -> HttpResponse:
        if request.method == "GET":
            return redirect(address_of(review_id))
        return _with_review(request, review_id, view)

    return step


@reviewed_step
@sensitive_variables()
def send(request: HttpRequest, reviewed: Review) -> HttpResponse:
    """Send what was reviewed and lead to the attempt's page, which waits for TMS; what is refused comes back."""
    sealed, review_id = "", reviewed.attempt_id
    try:
        if was_sent(reviewed, request.user.get_username(), is_batch=False):
            return _what_it_became(review_id, is_batch=False)
        token, sealed = review_token(request, reviewed)
        check_confirmed(request, reviewed.submission)
        check_touches(request, reviewed)
    except Refusal as refusal:
        return refused_step(request, reviewed, sealed, refusal)
    result = service.set_action(
        user=request.user,
        actor=actor_of(request, Source.FORM),
        submission=reviewed.to_send,
        token=token,
        attempt_id=review_id,
        word=word_of(request, reviewed),
        carrier=by_another_thread,
    )
    if result.outcome != Outcome.REFUSED:
        return used(redirect("attempt", attempt_id=result.attempt_id), review_id)
    if result.refusal_code in (400, 429):
        # A 400 means that the token stands among the ids: such a list is not shown again, nor kept.
        forget(request, review_id)
        sealed = ""
    return refused_step(request, reviewed, sealed, result)


@sensitive_variables()
def refused_step(request: HttpRequest, reviewed: Review, sealed: str, refusal: Refusal | Result) -> HttpResponse:
    """Lead back to a review that was not sent, or to another one of its list if it has ended; either says why.

    One in which its token stands is dropped. Raises Refusal (503) if that fails.
    """
    if isinstance(refusal, TokenAmongIds):
        forget(request, reviewed.attempt_id)
        sealed = ""
    if not isinstance(refusal, ReviewEnded):
        return lead_to(request, reviewed.attempt_id, sealed=sealed, notice=notice_of(request, refusal))
    fresh = replace(
        Review.of(reviewed.submission, reviewed.file_name, reviewed.left_out),
        check_afterwards=reviewed.check_afterwards,
    )
    try:
        keep(fresh, request.user.get_username())
    except Refusal as unkept:
        return lead_to(request, reviewed.attempt_id, notice=notice_of(request, unkept))
    return lead_to(request, fresh.attempt_id, notice=replace(notice_of(request, refusal), typed=""))


@never_cache
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, review_id: uuid.UUID) -> HttpResponse:
    """Show the form filled in but for the token, on the way back from the review page or from an attempt's."""
    if request.method == "POST":
        return used(lead_to(request, review_id, step="edit/"), review_id)
    if not may_set_action(request.user):
        raise PermissionDenied
    return _with_review(request, review_id, _filled_in)


def _filled_in(request: HttpRequest, reviewed: Review) -> HttpResponse:
    return form_page(request, filled_in_form(reviewed.submission, reviewed.file_name))


@reviewed_step
@sensitive_variables()
def leave_out(request: HttpRequest, reviewed: Review) -> HttpResponse:
    """Show the list for another review without the customers who were asked for already."""
    return narrowing_step(request, reviewed, without_overlap)


@sensitive_variables()
def narrowing_step(request: HttpRequest, reviewed: Review, narrow: Callable[[Review], Review]) -> HttpResponse:
    """Lead to another review of what `narrow` leaves of a list; it raises Refusal if that is nobody."""
    if not may_set_action(request.user):
        raise PermissionDenied
    user_id, token, sealed, sealed_for_rest = request.user.get_username(), None, "", ""
    with suppress(Refusal):  # the next page asks for the token
        token, sealed = review_token(request, reviewed)
    try:
        if token:
            token.check_not_among(reviewed.submission.cids)
        if was_sent(reviewed, user_id, is_batch=reviewed.is_batch):
            return _what_it_became(reviewed.attempt_id, is_batch=reviewed.is_batch)
        rest = narrow(reviewed)
        keep(rest, user_id)
    except Refusal as refusal:
        return refused_step(request, reviewed, sealed, refusal)
    with suppress(Refusal):
        sealed_for_rest = seal_for_another(sealed, user_id, reviewed.attempt_id, rest.attempt_id)
    return lead_to(request, rest.attempt_id, sealed=sealed_for_rest)


def lead_to_new(request: HttpRequest, review: Review, *, sealed: str = "", step: str = "") -> HttpResponse:
    """Keep a new review of a list that somebody takes up again, and lead to it, or to the form as its `step`.

    The form it is, too, if there is something to be asked. Raises Refusal (503) if the review cannot be kept.
    """
    keep(review, request.user.get_username())
    step = step if _may_be_shown(review) else "edit/"
    return lead_to(request, review.attempt_id, sealed="" if step else sealed, step=step)
