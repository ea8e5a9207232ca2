"""What the parts on /styles/ show, made up."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django import forms
from django.conf import settings
from django.db.models import TextChoices

from audit.choices import Outcome
from jobs.live.bar import Bar, part_of_state
from jobs.models import Batch, BatchChunk
from tmsdash.models import Banner
from tmsdash.web.kept_forms import Kept
from tmsdash.web.paging import Page
from tmsdash.web.parts import Column

ID = "7b0f4c1e-52a8-4d0f-9f5e-0a6c1d2e3f40"
COLOUR = re.compile(r"^  (--[a-z-]+): (?:light-dark\(.*\)|#[0-9a-f]+);", re.MULTILINE)
THEMES = ("light", "dark")


class SampleForm(forms.Form):
    """A field of each kind, and one that is wrong."""

    cluster = forms.ChoiceField(choices=[("evian3", "evian3")])
    note = forms.CharField(help_text="Help stands between the label and the field.")
    cids = forms.CharField(label="Customer IDs", widget=forms.Textarea, help_text="One on each line.")

    def clean_cids(self) -> str:
        raise forms.ValidationError("Line 2: an id has no spaces.")


class SampleFilters(forms.Form):
    """What narrows a list."""

    action = forms.ChoiceField(choices=[("", "Any"), ("2", "PE-Enable")], required=False)
    since = forms.DateField(required=False, widget=forms.DateInput({"type": "date"}))
    active = {"action": "2"}
    zone = "UTC"


def samples(theme: str) -> dict[str, Any]:
    """Return what the parts show in a theme; its name is part of ids and labels, which are unique on the page."""
    form = {"cluster": "evian3", "note": "Ticket 4711", "cids": "C-1\nC 2"}
    return {
        "theme": theme,
        "id": ID,
        "at": datetime(2026, 3, 1, 14, 5, 9, tzinfo=UTC),
        "origin": next(iter(settings.TMS_CLUSTERS.values()), "https://evian3.example"),
        "form": SampleForm(form, auto_id=f"{theme}_%s"),
        "filters": SampleFilters({"action": "2"}, auto_id=f"{theme}_filter_%s"),
        "chips": [{"text": "Action: PE-Enable", "without": "#"}, {"text": "Since: 2026-03-01", "without": "#"}],
        "page": Page[Any](rows=(), back="#", onward="#", number=2, count=9),
        "columns": [Column("Customer", address="#", order="ascending"), Column("State", address="#")],
        "bar": Bar([part_of_state(code, 40 - 7 * (code or 5)) for code in (*range(1, 6), None)]),
        "outcomes": [Outcome.ACCEPTED, Outcome.UNKNOWN],
        "banners": [Banner(kind=kind, text=f"{kind.label} from 18:00 on.") for kind in Banner.Kind],
        "kept": Kept(fields={}, file_name="list.csv"),
    }


def vocabularies() -> list[tuple[str, Iterable[TextChoices]]]:
    """Return all outcomes and states that have a badge."""
    return [
        ("Outcomes of attempts", Outcome),
        ("Chunks", [state for state in BatchChunk.State if state.value not in Outcome.values]),
        ("Batches and app status runs", Batch.State),
    ]


@cache
def colours() -> list[str]:
    """Return the names of the colours that the stylesheet begins with."""
    return COLOUR.findall((settings.BASE_DIR / "tmsdash/static/tmsdash.css").read_text())
