"""What the buttons of a comparison with live state do on the review page. Nothing is sent by any of them."""

from dataclasses import replace

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.debug import sensitive_variables

from audit.choices import Standing
from setactions.inputs.ids import FIELD
from setactions.live.before_sending import live_comparison
from setactions.live.comparison import groups_of, name_of
from setactions.pages.new_action import narrowing_step, review_again, reviewed_step
from setactions.pages.review import refused_page, review_page, token_of, typed_in
from setactions.pages.sealing import Review
from setactions.pages.sent_reviews import ReviewEnded, was_sent
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
    try:
        if was_sent(reviewed, user_id, is_batch=reviewed.is_batch):
            return redirect("batch" if reviewed.is_batch else "attempt", reviewed.attempt_id)
        token, sealed = token_of(request, reviewed.attempt_id)
        comparison = live_comparison(submission.cluster, submission.cids, token, user_id)
    except ReviewEnded as refusal:
        return review_again(request, reviewed, refusal)
    except Refusal as refusal:
        return refused_page(request, reviewed, sealed, refusal)
    except ReadingFailedError as error:
        kept = "" if error.bad_token else sealed
        return review_page(request, reviewed, kept, status=409, error=str(error), typed=typed_in(request))
    left_out = reviewed.comparison.left_out if reviewed.comparison else 0
    compared = replace(reviewed, comparison=replace(comparison, left_out=left_out))
    return review_page(request, compared, sealed, typed=typed_in(request))


@reviewed_step
@sensitive_variables()
def customers_csv(request: HttpRequest, reviewed: Review) -> HttpResponse:
    """Download the customers of one group of the comparison, each with its state."""
    if not may_set_action(request.user):
        raise PermissionDenied
    submission, comparison = reviewed.submission, reviewed.comparison
    if comparison is None:
        return refused_page(request, reviewed, "", Refusal(409, "review", COMPARE_FIRST))
    groups = groups_of(submission.action, submission.cids, comparison.codes)
    group = next((group for group in groups if group.standing == request.POST.get("standing")), None)
    if group is None:
        return refused_page(request, reviewed, "", Refusal(409, "review", "There is nobody on that list any more."))
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
