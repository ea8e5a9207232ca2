"""Fields look as Django's own templates draw them."""

import pytest
from django import forms
from django.forms.renderers import DjangoTemplates

from tmsdash.web.form_renderer import Renderer

HOSTILE = "<b>\"'&amp;"
WIDGETS = [
    forms.TextInput({"maxlength": 3, "autofocus": True, "required": False, "title": HOSTILE}),
    forms.PasswordInput({"autocomplete": "off"}),
    forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
    forms.HiddenInput(),
    forms.NumberInput({"min": 0}),
    forms.EmailInput(),
    forms.Select({"disabled": True}, choices=[("", "Any"), (1, "One"), (HOSTILE, HOSTILE), ("in", [("a", "A")])]),
    forms.Textarea({"rows": 3}),
    forms.CheckboxInput(),
    forms.FileInput(),
]


def tags(html):
    """What a browser makes of it: white space between tags does not count."""
    return html.replace("\n", "").replace("  ", "")


@pytest.mark.parametrize("value", [None, "", 1, "1", "a", HOSTILE, "2026-03-05"])
@pytest.mark.parametrize("widget", WIDGETS, ids=lambda widget: type(widget).__name__)
def test_a_field_is_drawn_as_django_draws_it(widget, value):
    arguments = ("na<me", value, {"id": "id_name", "aria-invalid": "true"})
    expected = widget.render(*arguments, renderer=DjangoTemplates())
    assert tags(widget.render(*arguments, renderer=Renderer())) == tags(expected)


def test_forms_are_drawn_by_it():
    assert isinstance(forms.Form().renderer, Renderer)
