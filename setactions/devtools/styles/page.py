"""The page /styles/: nothing on it comes from a database."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from setactions.devtools.styles.samples import THEMES, colours, samples, vocabularies


@require_safe
def styles(request: HttpRequest) -> HttpResponse:
    """Show every part of a page in each of its states, in light and dark side by side, to staff."""
    if not getattr(request.user, "is_staff", False):
        raise PermissionDenied
    context = {"themes": [samples(theme) for theme in THEMES], "colours": colours(), "vocabularies": vocabularies()}
    return render(request, "styles/styles.html", context)
