"""The lasting page of each attempt, and what can be done there: check it, decide on it, repair its list, resend it."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from audit.actors import actor_of
from audit.bodies import OpeningBody, comparison_shown, words_given
from audit.choices import Outcome, Ruling
from audit.models import Attempt
from audit.selectors import anchor_of, attempt_for, opening_body
from jobs.app_status.runbook import runbook
from jobs.selectors import may_view_job_of
from setactions.pages.explanations import Explanation, explained
from setactions.pages.linked_sentences import Part, with_links
from setactions.pages.review import ListEnds, ends_of, token_of
from setactions.pages.review_steps import lead_to_new
from setactions.pages.sealing import Purpose, Review, load_reading, sign_reading
from setactions.payload import Submission, narrowed
from setactions.permissions import may_set_action
from setactions.reads import ReadingFailedError
from setactions.refusal import Refusal, Unverified
from setactions.resolving import rulings
from setactions.resolving.readback import Judgement, Reading, Verdict
from setactions.results import Result, result_of
from setactions.tms.clusters import cluster_at
from setactions.tms.spellings import find_action
from setactions.tms.unknown_ids import Repair, find_repair
from tmsdash.csv_text import ids_file
from tmsdash.db import clock
from tmsdash.text import printable
from tmsdash.tokens import looks_like_token
from tmsdash.web.access_log import log_refused
from tmsdash.web.kept_forms import Fields, Kept, keeps, kept_of

SOON_S = 30  # most answers are there by then


@dataclass(frozen=True, kw_only=True)
class AttemptPage:
    """An attempt as `user` sees it: what became of it, and what they can do about it.

    `opening` is the body of the event that opened it. `judgement` is what the check showed that was just made,
    `first_reading` the first of the two readings that prove an attempt not applied, `failed_reading` one that proved
    nothing. `error` says what did not work, `ruling` and `reason` are what was chosen and typed for a decision that was
    not taken, and `kept` tells that they were kept while the user signed in.
    """

    user: Any
    attempt: Attempt
    result: Result
    opening: OpeningBody
    anchor: str = ""
    error: str = ""
    judgement: Judgement | None = None
    first_reading: Reading | None = None
    failed_reading: Reading | None = None
    sealed: str = ""
    ruling: str = ""
    reason: str = ""
    kept: Kept | None = None
    rulings = Ruling.choices

    @property
    def is_unknown(self) -> bool:
        return self.result.outcome == Outcome.UNKNOWN

    @property
    def is_closed(self) -> bool:
        return not self.attempt.is_running and not self.is_unknown

    @property
    def title(self) -> str:
        return f"{self.result.outcome.label}: {self.attempt.action_name or 'attempt'}"

    @property
    def announcement(self) -> str:
        """What a screen reader says when it changes."""
        label = self.result.outcome.label
        return f"{label}." if self.attempt.is_running else f"{label}. {self.result.explanation}"

    @cached_property
    def elapsed_s(self) -> int:
        """For how many seconds it is being sent."""
        return max(0, int((clock.now("audit") - self.attempt.created_at).total_seconds()))

    @property
    def every_s(self) -> int:
        """After how many seconds the page asks how it stands; 0 once nothing changes any more."""
        if self.attempt.is_running:
            return 1 if self.elapsed_s < SOON_S else 3
        return 3 if self.awaits_job else 0

    @property
    def reload_s(self) -> int:
        """The same without JavaScript, where the page is loaded anew: a screen reader begins at its top each time."""
        return 5 if self.elapsed_s < SOON_S else 20

    @property
    def awaits_job(self) -> bool:
        """Whether TMS accepted, and the Job cannot be read yet."""
        return self.result.job_id is not None and not self.result.job_recorded

    @property
    def may_view_job(self) -> bool:
        return may_view_job_of(self.user, self.attempt.user_id)

    @property
    def cluster_is_configured(self) -> bool:
        return cluster_at(self.attempt.cluster_url) is not None

    @cached_property
    def may_check(self) -> bool:
        return self.is_unknown and self.cluster_is_configured and rulings.may_check(self.user, self.attempt)

    @cached_property
    def may_decide(self) -> bool:
        has_grounds = self.failed_reading is not None or not self.cluster_is_configured
        return self.is_unknown and has_grounds and rulings.may_decide(self.user)

    @cached_property
    def may_send_again(self) -> bool:
        is_own = self.attempt.user_id == self.user.get_username()
        return is_own and Outcome(self.attempt.outcome).is_repeatable and may_set_action(self.user)

    @cached_property
    def submission_again(self) -> Submission | None:
        """The same action for the same list; None unless the user may send it again."""
        return self.submission_of(self.opening["cids"]) if self.may_send_again else None

    @cached_property
    def repair(self) -> Repair | None:
        """How a list can be repaired that TMS rejected because it does not know some of its ids."""
        is_rejected = self.result.outcome == Outcome.REJECTED
        return find_repair(self.result.message, self.opening["cids"]) if is_rejected else None

    def submission_of(self, cids: Sequence[str]) -> Submission | None:
        """Return the attempt's action for some of its ids; None if it is archived, or the settings lack its cluster."""
        cluster, action = cluster_at(self.attempt.cluster_url), find_action(self.attempt.action_name)
        if cluster is None or action is None or self.opening.get("archived"):
            return None
        allow_unusual = self.opening.get("allow_unusual", False)
        sent, note = self.opening["action_sent"], self.attempt.note
        whole = Submission(cluster, action, sent, (), allow_unusual=allow_unusual, note=note)
        return narrowed(whole, cids)

    @property
    def ends(self) -> ListEnds:
        return ends_of(self.opening["cids"])

    @property
    def words_given(self) -> str:
        return words_given(self.opening)

    @property
    def comparison_shown(self) -> str:
        return comparison_shown(self.opening)

    @property
    def sent_as(self) -> str:
        """The spelling of the action that TMS got; "" if it is the name of the action."""
        spelling: str = self.opening.get("action_sent", "")
        return spelling if spelling != self.attempt.action_name else ""

    @property
    def message(self) -> str:
        """What TMS or the dashboard said, made printable; "" if that is no more than the outcome."""
        return "" if self.result.message == self.result.outcome.label else printable(self.result.message)

    @cached_property
    def explanation(self) -> Explanation | None:
        """What the runbook says of the message, if anything."""
        return explained(runbook(), self.message)

    @property
    def mistakes(self) -> list[list[Part]]:
        """What was wrong with a list that was refused, in sentences with links."""
        return with_links(self.user, [text for sentences in self.result.errors.values() for text in sentences])

    @property
    def message_is_of_tms(self) -> bool:
        return isinstance(self.result.data, dict) and self.result.data.get("message") == self.result.message

    @property
    def proves_nothing(self) -> bool:
        """Whether the check that just ended leaves the attempt to a person."""
        return self.judgement is not None and self.judgement.verdict == Verdict.UNCLEAR

    @property
    def signed_first_reading(self) -> str:
        return self._signed(self.first_reading, Purpose.SECOND)

    @property
    def signed_failed_reading(self) -> str:
        return self._signed(self.failed_reading, Purpose.DECISION)

    def _signed(self, reading: Reading | None, purpose: Purpose) -> str:
        user_id = self.user.get_username()
        return sign_reading(reading, user_id, self.attempt.attempt_id, purpose) if reading else ""


def page_of(user: Any, attempt: Attempt, **state: Any) -> AttemptPage:
    """Return the attempt as `user` sees it; `state` is what a form on it led to."""
    opening, result = opening_body(attempt), result_of(attempt)
    return AttemptPage(user=user, attempt=attempt, result=result, opening=opening, anchor=anchor_of(attempt), **state)


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
