"""The field for a day of a list's filters."""

from datetime import date
from typing import Any

from django import forms

from tmsdash.days import NoDayError


class DayField(forms.DateField):
    """A day, written as browsers send it; its label says of which zone."""

    def __init__(self, label: str, **options: Any) -> None:
        widget = forms.DateInput(format="%Y-%m-%d", attrs={"type": "date", "autocomplete": "off"})
        super().__init__(label=label, required=False, input_formats=["%Y-%m-%d"], widget=widget, **options)

    def to_python(self, value: Any) -> date | None:
        try:
            return super().to_python(value)
        except forms.ValidationError:  # quoted, because browsers show an empty field where it is no day
            raise forms.ValidationError(str(NoDayError(value))) from None
