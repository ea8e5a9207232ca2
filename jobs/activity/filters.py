"""The filters of Activity, as they are in its address."""

import re
from typing import Any

from django import forms

from audit.models import NOTE_LENGTH
from audit.selectors import may_view_all_attempts
from jobs.activity.attempts import ID_DIGITS, is_beginning
from jobs.activity.choices import ShownOutcome, ShownSource
from jobs.activity.wanted import Wanted
from jobs.filters import CustomerField, KnownChoiceField, ListFilters
from jobs.selectors import known_clusters, may_view_all_jobs

LEAST_DIGITS, LEAST_LETTERS = 6, 3
TOO_SHORT = f"Give {LEAST_DIGITS} characters of an id from its beginning, or {LEAST_LETTERS} of a note, at least."


class ActivityFilters(ListFilters):
    """What to look for among all that was asked for.

    `q` is the beginning of a job's, an attempt's or a batch's id, or a part of a note.
    """

    url_name = "activity"

    outcome = KnownChoiceField("outcome", ShownOutcome.choices)
    source = KnownChoiceField("source", ShownSource.choices)
    customer = CustomerField()
    q = forms.CharField(label="Part of a note, or of an id", required=False, max_length=NOTE_LENGTH)

    def known_clusters(self) -> list[str]:
        return known_clusters()

    def may_view_all(self) -> bool:
        return may_view_all_attempts(self._viewer)

    def address(self, *, everybody: bool, **changes: Any) -> str:
        """Return the same as for other lists, and always whose: without a word, the last filters are used."""
        return super().address(everybody=everybody, **({} if everybody else {"whose": "mine"}) | changes)

    def clean_q(self) -> str:
        """Return the text, if it is long enough."""
        text: str = self.cleaned_data["q"]
        if text and len(text) < LEAST_LETTERS:
            raise forms.ValidationError(TOO_SHORT)
        return text

    @property
    def shown_outcome(self) -> ShownOutcome | None:
        """The outcome that is looked for."""
        return ShownOutcome(self.cleaned_data["outcome"]) if self.cleaned_data["outcome"] else None

    def wanted(self, *, everybody: bool) -> Wanted:
        """Return what valid filters ask for: of everybody, or of the viewer only."""
        data: dict[str, Any] = self.cleaned_data
        digits = data["q"].replace("-", "").lower()
        is_id = re.fullmatch(f"[0-9a-f]{{{LEAST_DIGITS},{ID_DIGITS}}}", digits) is not None and is_beginning(digits)
        return Wanted(
            conditions=self.conditions(everybody=everybody),
            outcome=self.shown_outcome,
            source=ShownSource(data["source"]) if data["source"] else None,
            customer=data["customer"],
            begins=digits if is_id else "",
            note="" if is_id else data["q"],
            batches_of=None if everybody and may_view_all_jobs(self._viewer) else self._viewer.get_username(),
        )
