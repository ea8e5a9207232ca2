"""The page on which somebody chooses how they see the site, to which the switch in the foot of each page posts, too."""

from functools import cache
from itertools import groupby
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django import forms
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from tmsdash.web.base_path import is_own, stays_below
from tmsdash.web.display import SHORTCUTS, THEMES, UTC, choices_of, keep, zone_names

LONGEST_ADDRESS = 2000  # characters, of a page to go back to


@cache
def _zone_choices() -> list[tuple[str, Any]]:
    """Return all zones for a list to choose from: UTC first, the others by continent."""
    names = sorted(name for name in zone_names() if "/" in name and not name.startswith("Etc/"))
    groups = groupby(names, key=lambda name: name.partition("/")[0])
    return [(UTC, UTC), *((group, [(name, name.replace("_", " ")) for name in among]) for group, among in groups)]


class DisplayForm(forms.Form):
    """What can be chosen. A switch sends one field, the page all of them."""

    theme = forms.ChoiceField(label="Colours", choices=[*THEMES.items()], required=False)
    time_zone = forms.CharField(
        label="Times",
        widget=forms.Select,
        required=False,
        help_text="Times are shown in this zone, with its name. Files and JSON always have UTC.",
    )
    shortcuts = forms.ChoiceField(
        label="Shortcuts",
        choices=[*SHORTCUTS.items()],
        required=False,
        help_text="Single keys that lead somewhere; switch them off if they get in the way of what you speak or type.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["time_zone"].widget.choices = _zone_choices()

    def clean_time_zone(self) -> str:
        name: str = self.cleaned_data["time_zone"]
        if name and name not in zone_names():
            raise forms.ValidationError("This system knows no such time zone. Choose one of the list.")
        return name


@login_not_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def display(request: HttpRequest) -> HttpResponse:
    """Keep what was chosen and go back; what the form does not name stays as it is. A GET shows the page.

    The script frame.js, which changes the page itself, is told that it was kept by a 204.
    """
    back = _back(request)
    if request.method != "POST":
        return render(request, "display.html", {"form": DisplayForm(initial=choices_of(request)), "display_back": back})
    form = DisplayForm(request.POST)
    if not form.is_valid():
        return render(request, "display.html", {"form": form, "display_back": back}, status=400)
    answer = HttpResponse(status=204) if request.headers.get("HX-Request") == "true" else redirect(back)
    for name, value in form.cleaned_data.items():
        if value:
            keep(answer, name, value)
    return answer


def _back(request: HttpRequest) -> str:
    """Return where to go back to: the form's `next`, or the page that led here; the start page if that is elsewhere."""
    given = request.POST if request.method == "POST" else request.GET
    address = given.get("next", "") or _referrer(request)
    return address if is_own(address) and len(address) <= LONGEST_ADDRESS else reverse("new_action")


def _referrer(request: HttpRequest) -> str:
    """Return the address of the page of this site whose link or button led here; "" if it was none, or this one."""
    referrer = request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(referrer, request.get_host()):
        return ""
    parts = urlsplit(referrer)
    is_another = parts.path != request.path and stays_below(referrer)
    return urlunsplit(("", "", parts.path, parts.query, "")) if is_another else ""
