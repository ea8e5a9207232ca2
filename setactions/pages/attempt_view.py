"""What the page of an attempt shows, as values: templates only put them in their places."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.utils import timezone

from audit.bodies import OpeningBody, comparison_shown, words_given
from audit.choices import Outcome, Ruling
from audit.models import Attempt
from audit.selectors import anchor_of, opening_body
from jobs.app_status.runbook import runbook
from jobs.selectors import may_view_job_of
from setactions.pages.explanations import Explanation, explained
from setactions.pages.linked_sentences import Part, with_links
from setactions.pages.review import ListEnds, ends_of
from setactions.pages.sealing import Purpose, sign_reading
from setactions.payload import Submission, narrowed
from setactions.permissions import may_set_action
from setactions.resolving import rulings
from setactions.resolving.readback import Judgement, Reading, Verdict
from setactions.results import Result, result_of
from setactions.tms.clusters import cluster_at
from setactions.tms.spellings import find_action
from setactions.tms.unknown_ids import Repair, find_repair
from tmsdash.db import clock
from tmsdash.text import printable
from tmsdash.web.clusters import cluster_name
from tmsdash.web.kept_forms import Kept

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
        """The title of the page: what became of it, and of what, as far as that is known."""
        label, attempt = self.result.outcome.label, self.attempt
        if not attempt.action_name:
            return f"{label} – attempt"
        return f"{label} – {attempt.action_name} for {attempt.customer_count:,} on {self.cluster_name}"

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

    @property
    def cluster_name(self) -> str:
        return cluster_name(self.attempt.cluster_url)

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
        return comparison_shown(self.opening, timezone.get_current_timezone())

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
