"""Whoever has to have a second factor and has none may do one thing: set it up."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect

from tmsdash.passwords.initial import OWN_PASSWORD_PAGES
from tmsdash.web.base import Middleware
from tmsdash.web.errors import error_response, wants_json
from tmsdash.web.sessions import is_polling, reload_page

MISSING = "second_factor_missing"  # in the session, from the sign-in on
PAGE = "second_factor"
SET_UP = (
    "Your account needs a second factor. Set it up first, on the page /second-factor/; until then nothing else works. "
    "Nothing was sent to TMS."
)


class SecondFactorMiddleware(Middleware):
    """Restrict such users to that page, to the one of their password, and to what needs no sign-in."""

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., HttpResponseBase], *args: Any
    ) -> HttpResponseBase | None:
        if not getattr(view_func, "login_required", True) or not request.user.is_authenticated:
            return None
        if not request.session.get(MISSING):
            return None
        if request.resolver_match is not None and request.resolver_match.view_name in (PAGE, *OWN_PASSWORD_PAGES):
            return None
        if wants_json(request):
            return error_response(request, 403, SET_UP)
        return reload_page() if is_polling(request) else redirect(PAGE)
