"""The filters of Activity, as they are in its address."""

import re
from typing import Any

from django import forms

from audit.selectors import may_view_all_attempts
from jobs.activity.attempts import ID_DIGITS
from jobs.activity.choices import ShownOutcome, ShownSource
from jobs.activity.wanted import Wanted
from jobs.filters import CustomerField, KnownChoiceField, ListFilters
from jobs.selectors import known_clusters, may_view_all_jobs

LEAST_DIGITS = 6
WRONG_BEGINNING = (
    f"Give at least the first {LEAST_DIGITS} characters of an id, as pages show it: digits, letters from a to f, "
    "hyphens."
)


class ActivityFilters(ListFilters):
    """What to look for among all that was asked for; `q` is the beginning of a job's, an attempt's or a batch's id."""

    url_name = "activity"

    outcome = KnownChoiceField("outcome", ShownOutcome.choices)
    source = KnownChoiceField("source", ShownSource.choices)
    customer = CustomerField()
    q = forms.CharField(label="Job, attempt or batch id", required=False, max_length=100)

    def known_clusters(self) -> list[str]:
        return known_clusters()

    def may_view_all(self) -> bool:
        return may_view_all_attempts(self._viewer)

    def address(self, *, everybody: bool, **changes: Any) -> str:
        """Return the same as for other lists, and always whose: without a word, the last filters are used."""
        return super().address(everybody=everybody, **({} if everybody else {"whose": "mine"}) | changes)

    def clean_q(self) -> str:
        """Return the digits of the beginning of an id."""
        digits: str = self.cleaned_data["q"].replace("-", "").lower()
        if digits and not re.fullmatch(f"[0-9a-f]{{{LEAST_DIGITS},{ID_DIGITS}}}", digits):
            raise forms.ValidationError(WRONG_BEGINNING)
        return digits

    @property
    def shown_outcome(self) -> ShownOutcome | None:
        """The outcome that is looked for."""
        return ShownOutcome(self.cleaned_data["outcome"]) if self.cleaned_data["outcome"] else None

    def wanted(self, *, everybody: bool) -> Wanted:
        """Return what valid filters ask for: of everybody, or of the viewer only."""
        data: dict[str, Any] = self.cleaned_data
        return Wanted(
            conditions=self.conditions(everybody=everybody),
            outcome=self.shown_outcome,
            source=ShownSource(data["source"]) if data["source"] else None,
            customer=data["customer"],
            begins=data["q"],
            batches_of=None if everybody and may_view_all_jobs(self._viewer) else self._viewer.get_username(),
        )
