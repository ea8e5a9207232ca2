"""The lasting page of each attempt, and what can be done there: check it, decide on it, repair its list, resend it."""

import uuid
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from audit.actors import actor_of
from audit.models import Attempt
from audit.selectors import attempt_for
from setactions.pages.attempt_view import AttemptPage, page_of
from setactions.pages.review import token_of
from setactions.pages.review_steps import lead_to_new
from setactions.pages.sealing import Purpose, Review, load_reading
from setactions.payload import Submission
from setactions.reads import ReadingFailedError
from setactions.refusal import Refusal, Unverified
from setactions.resolving import rulings
from setactions.resolving.readback import Reading, Verdict
from tmsdash.csv_text import ids_file
from tmsdash.tokens import looks_like_token
from tmsdash.web.access_log import log_refused
from tmsdash.web.kept_forms import Fields, keeps, kept_of


def _show(request: HttpRequest, attempt: Attempt, *, status: int = 200, **state: Any) -> HttpResponse:
    page = page_of(request.user, attempt, **state)
    return render(request, "setactions/attempt.html", _context(page), status=status)


def _context(page: AttemptPage) -> dict[str, Any]:
    return {"page": page, "interval_s": settings.TMS_READBACK_INTERVAL_S}


@never_cache
@require_safe
def attempt(request: HttpRequest, attempt_id: uuid.UUID, template: str = "setactions/attempt.html") -> HttpResponse:
    """Show what became of an attempt, now and whenever somebody comes back to it.

    Until its answer is there, its page asks for the `template` of the part that changes.
    """
    return render(request, template, _context(page_of(request.user, attempt_for(request.user, attempt_id))))


@never_cache
@sensitive_post_parameters()
@sensitive_variables()
@require_http_methods(["GET", "POST"])
def check(request: HttpRequest, attempt_id: uuid.UUID) -> HttpResponse:
    """Read back what TMS shows of an attempt in doubt; the page then shows its outcome, or what is still needed."""
    attempt = attempt_for(request.user, attempt_id)
    if request.method == "GET" or not attempt.is_open:
        return redirect("attempt", attempt_id=attempt_id)
    if not rulings.may_check(request.user, attempt):
        raise PermissionDenied
    first, sealed = _reading_of(request, request.POST.get("reading", ""), attempt_id, Purpose.SECOND), ""
    try:
        token, sealed = token_of(request, attempt_id)
        judgement = rulings.check(attempt, token, first, actor_of(request))
    except Refusal as refusal:
        return _show(request, attempt, status=refusal.code, error=refusal.message, first_reading=first, sealed=sealed)
    except ReadingFailedError as error:
        failed = None if error.bad_token else Reading.failed(str(error))  # a better token might settle it
        return _show(request, attempt, status=409, error=str(error), first_reading=first, failed_reading=failed)
    if judgement.verdict == Verdict.READ_AGAIN:
        return _show(request, attempt, judgement=judgement, first_reading=judgement.readings[0], sealed=sealed)
    if judgement.verdict == Verdict.UNCLEAR:
        return _show(request, attempt, judgement=judgement, failed_reading=judgement.readings[-1])
    return redirect("attempt", attempt_id=attempt_id)


@keeps(Fields(texts=("ruling", "reason", "reading")))
@never_cache
@require_http_methods(["GET", "POST"])
def decide(request: HttpRequest, attempt_id: uuid.UUID) -> HttpResponse:
    """Close an attempt that no reading could settle, as the user rules and says why."""
    attempt = attempt_for(request.user, attempt_id)
    kept = kept_of(request) if request.method == "GET" and attempt.is_open else None
    if kept and rulings.may_decide(request.user):
        typed: dict[str, Any] = {name: kept.fields[name] for name in ("ruling", "reason")}
        reading = _reading_of(request, kept.fields["reading"], attempt_id, Purpose.DECISION)
        return _show(request, attempt, kept=kept, failed_reading=reading, **typed)
    if request.method == "GET" or not attempt.is_open:
        return redirect("attempt", attempt_id=attempt_id)
    if not rulings.may_decide(request.user):
        raise PermissionDenied
    reading = _reading_of(request, request.POST.get("reading", ""), attempt_id, Purpose.DECISION)
    ruling, reason = request.POST.get("ruling", ""), request.POST.get("reason", "")
    try:
        rulings.decide(attempt, ruling, reason, reading, actor_of(request))
    except Refusal as refusal:
        typed = {"ruling": ruling, "reason": "" if looks_like_token(reason) else reason}
        return _show(request, attempt, status=refusal.code, error=refusal.message, failed_reading=reading, **typed)
    return redirect("attempt", attempt_id=attempt_id)


@never_cache
@require_http_methods(["GET", "POST"])
def repair(request: HttpRequest, attempt_id: uuid.UUID) -> HttpResponse:
    """Lead to another review of a rejected list, as a new attempt, without the ids that TMS does not know."""
    attempt = attempt_for(request.user, attempt_id)
    page = page_of(request.user, attempt)
    submission = page.submission_of(page.repair.known) if page.repair and page.repair.known else None
    if request.method == "GET" or submission is None:
        return redirect("attempt", attempt_id=attempt_id)
    if not page.may_send_again:
        raise PermissionDenied
    return _review(request, attempt, submission)


@never_cache
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, attempt_id: uuid.UUID) -> HttpResponse:
    """Lead to the form filled in with the list of an attempt that may be sent again, but for the token."""
    attempt = attempt_for(request.user, attempt_id)
    submission = page_of(request.user, attempt).submission_again
    if request.method == "GET" or submission is None:
        return redirect("attempt", attempt_id=attempt_id)
    return _review(request, attempt, submission, step="edit/")


def _review(request: HttpRequest, attempt: Attempt, submission: Submission, step: str = "") -> HttpResponse:
    try:
        return lead_to_new(request, Review.of(submission), step=step)
    except Refusal as refusal:
        return _show(request, attempt, status=refusal.code, error=refusal.message)


@never_cache
@require_safe
def ids_csv(request: HttpRequest, attempt_id: uuid.UUID, which: str) -> HttpResponse:
    """Download all ids of an attempt; or, of a rejected list, those that TMS does not know, or those that it knows."""
    page = page_of(request.user, attempt_for(request.user, attempt_id))
    lists = {"all": page.opening["cids"]}
    if page.repair:
        lists |= {"unknown": page.repair.unknown, "known": page.repair.known}
    if which not in lists or page.opening.get("archived"):
        raise Http404
    return ids_file(f"{which}-ids-{attempt_id}.csv", lists[which])


def _reading_of(request: HttpRequest, text: str, attempt_id: uuid.UUID, purpose: Purpose) -> Reading | None:
    """Return the reading that came back with the page; None if it is missing, old or forged, and log a forgery."""
    try:
        return load_reading(text, request.user.get_username(), attempt_id, purpose)
    except Unverified:
        log_refused(request, "its reading does not verify")
        return None
