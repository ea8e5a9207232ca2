"""The review page: what is about to be sent, what speaks against sending it, and what comes back from the page."""

import re
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from typing import Any, NamedTuple

from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.debug import sensitive_variables

from audit.selectors import may_view_attempt_of
from jobs.batches.overlap import stopped_batches_with
from jobs.selectors import may_view_job_of
from setactions.confirmation import check_typed_count, must_type_count
from setactions.inputs.ids import FIELD
from setactions.live.before_sending import stored_comparison, touches_since
from setactions.live.comparison import Comparison, Group, groups_of
from setactions.note import check_given
from setactions.overlap import NO_OVERLAP, Entry, Overlap, find_overlap, overlap_of
from setactions.pages.review_places import NOTHING_TO_SAY, Notice, find, has_token, sealed_token
from setactions.pages.sealing import Review, seal_token, sign_shown, unseal_token
from setactions.pages.sent_reviews import is_sent
from setactions.payload import Submission, find_overlap_warnings, new_chunk
from setactions.refusal import Refusal, Unverified
from setactions.results import Result
from setactions.token import Token
from setactions.typed_token import typed_token
from setactions.word import NO_WORD, Word
from tmsdash.db.transactions import drop_if_broken
from tmsdash.text import counted
from tmsdash.web.access_log import log_refused

IDS_AT_EACH_END = 10
ENTRIES_SHOWN = 10
IDS_ASKED_FOR_SHOWN = 5
CHECK = "check_afterwards"  # the box on the page of a batch


class ListEnds(NamedTuple):
    """Both ends of a long list of ids, how many ids lie between, and the number of the first one behind that gap."""

    first: Sequence[str]
    last: Sequence[str] = ()
    hidden_count: int = 0
    last_start: int = 0


class WrongField(NamedTuple):
    """A field of the page that has to be corrected: its name and id, and what it is called."""

    name: str
    label: str


def ends_of(cids: Sequence[str]) -> ListEnds:
    """Return both ends of a list, or all of it as the first one if it is short."""
    count = IDS_AT_EACH_END
    if len(cids) <= 2 * count:
        return ListEnds(cids)
    return ListEnds(cids[:count], cids[-count:], len(cids) - 2 * count, len(cids) - count + 1)


@dataclass(frozen=True, kw_only=True)
class ReviewPage:
    """A review as its user sees it. Without a token that the browser keeps the page asks for it once more.

    `notice` says why the page came back; without one it says that nothing was sent, if that is known (`is_unsent`).
    `overlap` tells which customers were asked for already, `stopped` which are left to send in batches that stopped
    lately, `warnings` are sentences on open attempts at other actions. `stored` is what was read of the customers
    before, whoever asked for it; `touches` are the attempts that came after the review's own comparison, and that its
    user is told of now.
    """

    user: Any
    review: Review
    has_token: bool
    is_unsent: bool = True
    notice: Notice = NOTHING_TO_SAY
    overlap: Overlap = NO_OVERLAP
    stopped: Overlap = NO_OVERLAP
    warnings: Sequence[str] = ()
    stored: Comparison | None = None
    touches: Overlap = NO_OVERLAP

    @property
    def groups(self) -> list[Group]:
        """The customers by where they stand, as the review's comparison shows, or else as was stored before."""
        comparison, submission = self.review.comparison or self.stored, self.review.submission
        return groups_of(submission.action, submission.cids, comparison.codes) if comparison else []

    @property
    def touch_entries(self) -> list[tuple[Entry, bool]]:
        return self._with_access(self.touches.entries[:ENTRIES_SHOWN])

    @property
    def more_touch_entries(self) -> int:
        return max(0, len(self.touches.entries) - ENTRIES_SHOWN)

    @property
    def customer_count(self) -> int:
        return len(self.review.submission.cids)

    @property
    def wrong_field(self) -> WrongField | None:
        """The field of the page that has to be corrected, if the notice is about one."""
        if self.notice.field == "confirm" and self.must_type_count:
            return WrongField("confirm", "the number of customers")
        return WrongField("token", "the token") if self.token_error else None

    @property
    def token_error(self) -> str:
        """What is wrong with the token that the page asks for; "" if nothing is."""
        return self.notice.error if self.notice.field == "token" and not self.has_token else ""

    @property
    def shown(self) -> str:
        """What the page tells its user of other attempts, as text that comes back with it."""
        return sign_shown(self.review, self.user.get_username())

    @property
    def ends(self) -> ListEnds:
        return ends_of(self.review.submission.cids)

    @property
    def chunk_count(self) -> int:
        return ceil(self.customer_count / settings.TMS_BATCH_CHUNK)

    @property
    def rounds(self) -> int:
        """How many calls come one after the other; 0 if it is no batch."""
        return ceil(self.chunk_count / settings.TMS_BATCH_CALLS) if self.review.is_batch else 0

    @property
    def must_type_count(self) -> bool:
        return must_type_count(self.review.submission.cluster, self.customer_count)

    @property
    def rest_count(self) -> int:
        """How many customers were not asked for already."""
        return self.customer_count - len(self.overlap.cids)

    @property
    def first_cids_asked_for(self) -> Sequence[str]:
        return self.overlap.cids[:IDS_ASKED_FOR_SHOWN]

    @property
    def more_cids_asked_for(self) -> int:
        return len(self.overlap.cids) - len(self.first_cids_asked_for)

    @cached_property
    def entries(self) -> list[tuple[Entry, bool]]:
        """What asks for the customers, each with whether the user may open it."""
        return self._with_access(self.overlap.entries[:ENTRIES_SHOWN])

    @cached_property
    def stopped_entries(self) -> list[tuple[Entry, bool]]:
        return self._with_access(self.stopped.entries[:ENTRIES_SHOWN])

    def _with_access(self, entries: Sequence[Entry]) -> list[tuple[Entry, bool]]:
        may_view = {True: may_view_job_of, False: may_view_attempt_of}
        return [(entry, may_view[entry.is_batch](self.user, entry.user_id)) for entry in entries]

    @property
    def more_entries(self) -> int:
        return len(self.overlap.entries) - len(self.entries)

    @property
    def more_stopped_entries(self) -> int:
        return len(self.stopped.entries) - len(self.stopped_entries)


def show_review(request: HttpRequest, review: Review, notice: Notice, *, is_unsent: bool) -> HttpResponse:
    """Show the list that would be sent, with what speaks against it, and what is to be said about the step before.

    `is_unsent` tells that it was not sent before, or else nobody knows.
    """
    submission, comparison = review.submission, review.comparison
    cids, overlap, stopped, touches = submission.cids, NO_OVERLAP, NO_OVERLAP, NO_OVERLAP
    with suppress(AnyDatabaseError, Refusal), drop_if_broken("audit", "jobs"):  # sending will say what is wrong
        overlap = _overlap_of(submission)
        stopped = overlap_of(cids, {}, stopped_batches_with([new_chunk(submission, cids)]))
        if comparison and (touches := touches_since(comparison, submission.cluster.origin, cids)):
            comparison = comparison.told(touches.attempts)
    page = ReviewPage(
        user=request.user,
        review=replace(
            review,
            named=overlap.named,
            comparison=comparison,
            check_afterwards=review.check_afterwards and not notice.unchecked,
        ),
        has_token=has_token(request, review.attempt_id),
        is_unsent=is_unsent,
        notice=notice,
        overlap=overlap,
        stopped=stopped,
        warnings=find_overlap_warnings(submission),
        stored=None if comparison else stored_comparison(submission.cluster.origin, cids),
        touches=touches,
    )
    context = {"page": page, "chunk_size": settings.TMS_BATCH_CHUNK, "calls_at_once": settings.TMS_BATCH_CALLS}
    return render(request, "setactions/review.html", context, status=notice.status)


def word_of(request: HttpRequest, review: Review) -> Word:
    """Return the word to send again that the user gave on a review page: for those whom it named, and no others."""
    if "send_again" in request.POST:
        with suppress(AnyDatabaseError), drop_if_broken("audit", "jobs"):  # sending will say what is wrong
            return review.named.word(_overlap_of(review.submission).cids)
    return NO_WORD


def _overlap_of(submission: Submission) -> Overlap:
    return find_overlap(submission.cluster.origin, submission.action.value, submission.cids)


def notice_of(request: HttpRequest, refusal: Refusal | Result) -> Notice:
    """Return what a review's page is to say when it was not sent, with what was typed."""
    status = refusal.refusal_code if isinstance(refusal, Result) else refusal.code
    # The page lists what asks for the customers by itself, as it is now.
    error = " ".join(refusal.errors[FIELD][:1]) if refusal.overlap else refusal.message
    return Notice(status or 400, error, next(iter(refusal.errors), ""), typed_in(request), CHECK not in request.POST)


def typed_in(request: HttpRequest) -> str:
    """Return the number of customers that was typed on the page; "" if that was no number."""
    typed = request.POST.get("confirm", "")[:20]
    return typed if re.fullmatch(r"[0-9,.\u2019' ]*", typed) else ""


def review_of(request: HttpRequest, review_id: uuid.UUID) -> Review:
    """Return what the user reviewed, with what its page asked for; raises Refusal as `review_places.find` does."""
    review = find(request, review_id)
    is_asked = review.is_batch and request.method == "POST"
    return replace(review, check_afterwards=CHECK in request.POST) if is_asked else review


def without_overlap(review: Review) -> Review:
    """Return a new review of the customers who were not asked for already; raises Refusal if there are none."""
    with drop_if_broken("audit", "jobs", raising=_unreadable):
        asked_for = _overlap_of(review.submission).shared
    if len(asked_for) == len(review.submission.cids):
        raise Refusal(409, FIELD, "All customers of this list were asked for already, so there is nobody left.")
    return review.without(asked_for, were_there=False)


def _unreadable(_: Exception) -> Refusal:
    return Refusal(503, "request", "A database cannot be read now, so nothing was changed. Try again in a minute.")


@sensitive_variables()
def token_of(request: HttpRequest, attempt_id: uuid.UUID, kept: str | None = None) -> tuple[Token, str]:
    """Return the token that was typed on a page or came sealed with it, and the seal for showing that page again.

    `kept` is what the browser keeps sealed for a review; other pages bring the seal back themselves. A seal keeps its
    ten minutes. Raises Refusal (400) if there is no usable token, and logs a forged seal.
    """
    user_id, typed = request.user.get_username(), request.POST.get("token", "")
    if typed.strip():
        token = typed_token(typed, request.user)
        return token, seal_token(token, user_id, attempt_id)
    sealed = request.POST.get("sealed", "") if kept is None else kept
    try:
        token = unseal_token(sealed, user_id, attempt_id)
    except Unverified:
        log_refused(request, "its sealed token does not verify")
        raise
    token.check_not_expired()
    return token, sealed


@sensitive_variables()
def review_token(request: HttpRequest, review: Review) -> tuple[Token, str]:
    """Return the token for a review, and its seal; raises Refusal as above."""
    return token_of(request, review.attempt_id, sealed_token(request, review.attempt_id))


def check_touches(request: HttpRequest, review: Review) -> None:
    """Raise Refusal (409) if others touched the customers since the comparison, and the page has not said so.

    The page says so next, and then its user may send. Raises Refusal (503) if the audit cannot tell.
    """
    comparison, submission = review.comparison, review.submission
    touches = touches_since(comparison, submission.cluster.origin, submission.cids) if comparison else NO_OVERLAP
    # If this very review was sent at the same moment, these are its own: whoever sends it is led to what it became.
    if touches and not is_sent(review, request.user.get_username()):
        customers = counted(len(touches.cids), "customer")
        what = f"Other attempts touched {customers} of this list since you compared it; they are named below."
        next_step = "Compare again, or press Yes, Proceed once more to send all the same."
        raise Refusal(409, "request", f"{what} {next_step}")


def check_confirmed(request: HttpRequest, submission: Submission) -> None:
    """Raise Refusal (400) if the number of customers has to be typed, or a note to be given, and was not."""
    check_given(submission.note, [submission.cluster], "Press Cancel, and write it on the form.")
    if must_type_count(submission.cluster, len(submission.cids)):
        check_typed_count(request.POST.get("confirm", ""), len(submission.cids))
