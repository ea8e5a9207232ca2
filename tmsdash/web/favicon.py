"""The site's icon at /favicon.ico, where browsers look for it beside what is no page, such as a CSV file."""

from functools import cache
from pathlib import Path

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

KEPT_S = 7 * 86_400
_FILE = Path(__file__).parents[1] / "static" / "favicon.ico"


@login_not_required
@require_safe
@cache_control(public=True, max_age=KEPT_S)
def favicon(request: HttpRequest) -> HttpResponse:
    """Answer with the icon, for everybody to keep."""
    return HttpResponse(_content(), content_type="image/vnd.microsoft.icon")


@cache
def _content() -> bytes:
    return _FILE.read_bytes()
