"""What the buttons of a comparison with live state do on the review page. Nothing is sent by any of them."""

import uuid
from dataclasses import replace

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_safe

from audit.choices import Standing
from setactions.inputs.ids import FIELD
from setactions.live.before_sending import live_comparison
from setactions.live.comparison import groups_of, name_of
from setactions.pages.review import review_of, review_token, typed_in
from setactions.pages.review_places import Notice, keep, lead_to
from setactions.pages.review_steps import narrowing_step, refused_step, reviewed_step
from setactions.pages.sealing import Review
from setactions.pages.sent_reviews import was_sent
from setactions.permissions import may_set_action
from setactions.reads import ReadingFailedError
from setactions.refusal import Refusal
from tmsdash.csv_text import CSV_TYPE, csv_text, to_id_cell

COMPARE_FIRST = "This list was not compared with live state. Press Compare with live state first."


@reviewed_step
@sensitive_variables()
def compare(request: HttpRequest, reviewed: Review) -> HttpResponse:
    """Show the list beside what TMS shows of its customers now; without a token, or a reading, the page says so."""
    if not may_set_action(request.user):
        raise PermissionDenied
    user_id, submission, sealed = request.user.get_username(), reviewed.submission, ""
    left_out = reviewed.comparison.left_out if reviewed.comparison else 0
    try:
        if was_sent(reviewed, user_id, is_batch=reviewed.is_batch):
            return redirect("batch" if reviewed.is_batch else "attempt", reviewed.attempt_id)
        token, sealed = review_token(request, reviewed)
        token.check_not_among(submission.cids)
        comparison = live_comparison(submission.cluster, submission.cids, token, user_id)
        keep(replace(reviewed, comparison=replace(comparison, left_out=left_out)), user_id)
    except Refusal as refusal:
        return refused_step(request, reviewed, sealed, refusal)
    except ReadingFailedError as error:
        kept = "" if error.bad_token else sealed
        return refused_step(request, reviewed, kept, Refusal(409, "token" if error.bad_token else "live", str(error)))
    return lead_to(request, reviewed.attempt_id, sealed=sealed, notice=Notice(typed=typed_in(request)))


@never_cache
@require_safe
def customers_csv(request: HttpRequest, review_id: uuid.UUID) -> HttpResponse:
    """Download the customers of one group of the comparison, each with its state."""
    try:
        reviewed = review_of(request, review_id)
    except Refusal:
        raise Http404 from None
    submission, comparison = reviewed.submission, reviewed.comparison
    groups = groups_of(submission.action, submission.cids, comparison.codes) if comparison else []
    group = next((group for group in groups if group.standing == request.GET.get("standing")), None)
    if group is None:  # the list was compared again since
        raise Http404
    rows = ([to_id_cell(cid), name_of(code)] for cid, code in zip(group.cids, group.codes, strict=True))
    headers = {"Content-Disposition": f'attachment; filename="{group.standing}-{reviewed.attempt_id}.csv"'}
    return HttpResponse(csv_text([["customer_id", "state"], *rows]), content_type=CSV_TYPE, headers=headers)


@reviewed_step
@sensitive_variables()
def leave_out_there(request: HttpRequest, reviewed: Review) -> HttpResponse:
    """Show the list for another review without the customers who are there already, with what was compared."""
    return narrowing_step(request, reviewed, _without_those_there)


def _without_those_there(review: Review) -> Review:
    submission, comparison = review.submission, review.comparison
    if comparison is None:
        raise Refusal(409, "review", COMPARE_FIRST)
    groups = groups_of(submission.action, submission.cids, comparison.codes)
    there = frozenset(cid for group in groups if group.standing == Standing.THERE for cid in group.cids)
    if len(there) == len(submission.cids):
        raise Refusal(409, FIELD, "All customers of this list are there already, so there is nobody left.")
    return review.without(there, were_there=True)
