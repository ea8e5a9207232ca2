"""The lasting page of each attempt, and what can be done there: check it, decide it, repair its list, send it again."""

import uuid
from dataclasses import replace

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from audit.actors import actor_of
from audit.bodies import OpeningBody
from audit.choices import Outcome, Ruling
from audit.models import Attempt
from audit.selectors import anchor_of, attempt_for, opening_body, outcome_body
from setactions.inputs.ids import CidList
from setactions.pages.new_action import ends_of, review_page, token_of
from setactions.pages.sealing import Purpose, Review, load_reading, seal_token, sign_reading, sign_review
from setactions.permissions import may_set_action
from setactions.refusal import Refusal, Unverified
from setactions.resolving import decisions
from setactions.resolving.readback import Judgement, Reading, ReadingFailedError, Verdict
from setactions.results import result_of
from setactions.submission import Submission
from setactions.tms.actions import find_action
from setactions.tms.clusters import cluster_at
from setactions.tms.unknown_ids import Repair, find_repair
from tmsdash.csv_text import ids_file
from tmsdash.text import printable
from tmsdash.tokens import looks_like_token
from tmsdash.web.access_log import log_refused


@never_cache
@require_safe
def attempt(request: HttpRequest, attempt_id: uuid.UUID) -> HttpResponse:
    """Show what became of an attempt, now and whenever somebody comes back to it."""
    return _page(request, _load(request, attempt_id))


@never_cache
@sensitive_post_parameters()
@sensitive_variables()
@require_http_methods(["GET", "POST"])
def check(request: HttpRequest, attempt_id: uuid.UUID) -> HttpResponse:
    """Read back what TMS shows of an attempt in doubt; the page then shows its outcome, or what is still needed."""
    found = _load(request, attempt_id)
    if request.method == "GET" or not found.is_open:
        return redirect("attempt", attempt_id=attempt_id)
    if not decisions.may_check(request.user, found):
        raise PermissionDenied
    user_id = request.user.get_username()
    first = _reading_of(request, attempt_id, Purpose.SECOND)
    sealed = request.POST.get("sealed", "")  # keeps its ten minutes
    try:
        token = token_of(request, user_id, attempt_id)
        if request.POST.get("token"):
            sealed = seal_token(token, user_id, attempt_id)
        finding = decisions.check(found, token, first, actor_of(request))
    except Refusal as refusal:
        sealed = "" if refusal.code == 400 else sealed
        return _page(request, found, status=refusal.code, error=refusal.message, reading=first, sealed=sealed)
    except ReadingFailedError as error:
        failed = None if error.bad_token else Reading.failed(str(error))  # a better token might settle it
        return _page(request, found, status=409, error=str(error), reading=first, failed=failed)
    if finding.verdict in (Verdict.APPLIED, Verdict.NOT_APPLIED):
        return redirect("attempt", attempt_id=attempt_id)
    if finding.verdict == Verdict.READ_AGAIN:
        return _page(request, found, finding=finding, reading=finding.readings[0], sealed=sealed)
    return _page(request, found, finding=finding, failed=finding.readings[-1])


@never_cache
@require_http_methods(["GET", "POST"])
def decide(request: HttpRequest, attempt_id: uuid.UUID) -> HttpResponse:
    """Close an attempt that no reading could settle, as the user rules and says why."""
    found = _load(request, attempt_id)
    if request.method == "GET" or not found.is_open:
        return redirect("attempt", attempt_id=attempt_id)
    if not decisions.may_decide(request.user):
        raise PermissionDenied
    reading = _reading_of(request, attempt_id, Purpose.DECISION)
    ruling, reason = request.POST.get("ruling", ""), request.POST.get("reason", "")
    try:
        decisions.decide(found, ruling, reason, reading, actor_of(request))
    except Refusal as refusal:
        shown = "" if looks_like_token(reason) else reason
        return _page(request, found, status=refusal.code, error=refusal.message, failed=reading, reason=shown)
    return redirect("attempt", attempt_id=attempt_id)


@never_cache
@require_http_methods(["GET", "POST"])
def repair(request: HttpRequest, attempt_id: uuid.UUID) -> HttpResponse:
    """Show a rejected list for review once more, as a new attempt, without the ids that TMS does not know."""
    found = _load(request, attempt_id)
    repairable = _repair_of(found, opening_body(found))
    if request.method == "GET" or repairable is None or not repairable.known:
        return redirect("attempt", attempt_id=attempt_id)
    if not _may_send_again(request, found):
        raise PermissionDenied
    submission = _submission_of(found, repairable.known)
    if submission is None:
        return redirect("attempt", attempt_id=attempt_id)
    submission = replace(submission, warnings=CidList(submission.cids, 0).warnings)
    return review_page(request, Review(uuid.uuid4(), submission), "")


@never_cache
@require_safe
def ids_csv(request: HttpRequest, attempt_id: uuid.UUID, which: str) -> HttpResponse:
    """Download all ids of an attempt; or, of a rejected list, those that TMS does not know, or those that remain."""
    found = _load(request, attempt_id)
    opening = opening_body(found)
    if opening.get("archived"):
        raise Http404
    repairable = _repair_of(found, opening)
    parts = {"all": opening["cids"]}
    if repairable:
        parts |= {"unknown": repairable.unknown, "known": repairable.known}
    if which not in parts:
        raise Http404
    return ids_file(f"{which}-ids-{attempt_id}.csv", parts[which])


def _load(request: HttpRequest, attempt_id: uuid.UUID) -> Attempt:
    """Return the attempt; raises Http404 if it is not there or not for this user."""
    found = attempt_for(request.user, attempt_id)
    if found is None:
        raise Http404
    return found


def _reading_of(request: HttpRequest, attempt_id: uuid.UUID, purpose: Purpose) -> Reading | None:
    """Return the reading that came back with the page; None if there is none of use, and log who forged one."""
    try:
        return load_reading(request.POST.get("reading", ""), request.user.get_username(), attempt_id, purpose)
    except Unverified:
        log_refused(request, "its reading does not verify")
        return None


def _page(
    request: HttpRequest,
    found: Attempt,
    *,
    status: int = 200,
    error: str = "",
    finding: Judgement | None = None,
    reading: Reading | None = None,
    failed: Reading | None = None,
    sealed: str = "",
    reason: str = "",
) -> HttpResponse:
    """Show the attempt.

    `finding` is what a check just found, `reading` the first of two, `failed` one that proves nothing.
    """
    opening, result = opening_body(found), result_of(found)
    in_doubt = result.outcome == Outcome.UNKNOWN
    readable = cluster_at(found.cluster_url) is not None
    user_id = request.user.get_username()
    context = {
        "attempt": found,
        "result": result,
        "opening": opening,
        "anchor": anchor_of(found),
        "message": printable(result.message),
        "again": _signed_again(request, found, opening),
        "repair": _repair_of(found, opening),
        "may_send_again": _may_send_again(request, found),
        "error": error,
        "finding": finding,
        "first_reading": sign_reading(reading, user_id, found.attempt_id, Purpose.SECOND) if reading else "",
        "failed_reading": sign_reading(failed, user_id, found.attempt_id, Purpose.DECISION) if failed else "",
        "sealed": sealed,
        "interval_s": settings.TMS_READBACK_INTERVAL_S,
        "readable": readable,
        "may_check": in_doubt and readable and decisions.may_check(request.user, found),
        "may_decide": in_doubt and (failed or not readable) and decisions.may_decide(request.user),
        "rulings": Ruling.choices,
        "reason": reason,
        "is_unclear": finding and finding.verdict == Verdict.UNCLEAR,
        "running": found.is_running,
    } | ends_of(opening["cids"])
    return render(request, "setactions/attempt.html", context, status=status)


def _repair_of(found: Attempt, opening: OpeningBody) -> Repair | None:
    if found.outcome != Outcome.REJECTED:
        return None
    return find_repair(outcome_body(found).get("message") or "", opening["cids"])


def _may_send_again(request: HttpRequest, found: Attempt) -> bool:
    is_own = found.user_id == request.user.get_username()
    return is_own and Outcome(found.outcome).is_repeatable and may_set_action(request.user)


def _submission_of(found: Attempt, cids: tuple[str, ...]) -> Submission | None:
    """Return the attempt's action for `cids`; None if its cluster is not configured any more."""
    cluster, action = cluster_at(found.cluster_url), find_action(found.action_name)
    if cluster is None or action is None:
        return None
    return Submission(cluster, action, opening_body(found)["action_sent"], cids)


def _signed_again(request: HttpRequest, found: Attempt, opening: OpeningBody) -> str:
    """Return the list of an attempt that applied nothing, signed for going back to the form with it; else ""."""
    again = _may_send_again(request, found) and not opening.get("archived")
    submission = _submission_of(found, tuple(opening["cids"])) if again else None
    return sign_review(Review(uuid.uuid4(), submission), found.user_id) if submission else ""
