"""The field for a time that somebody types: always in UTC, which its label says."""

from datetime import UTC
from typing import Any

from django import forms
from django.utils import timezone


class UtcTimeField(forms.DateTimeField):
    """A time in UTC, whatever zone its user's times are shown in.

    A browser's field has no place for a zone. What is typed in one can mean two times where a clock is put back, and
    another one if the zone is switched before the form is sent.
    """

    def __init__(self, label: str, **options: Any) -> None:
        widget = forms.DateTimeInput(format="%Y-%m-%dT%H:%M:%S", attrs={"type": "datetime-local", "step": "1"})
        messages = {"invalid": "This is no time. Write it as 2026-02-28 13:45."}
        super().__init__(label=f"{label} (UTC)", required=False, widget=widget, error_messages=messages, **options)

    def prepare_value(self, value: Any) -> Any:
        with timezone.override(UTC):
            return super().prepare_value(value)

    def to_python(self, value: Any) -> Any:
        with timezone.override(UTC):
            return super().to_python(value)
