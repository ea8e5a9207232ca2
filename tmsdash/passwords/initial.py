"""A password given by an administrator has one purpose: to sign in and choose one's own.

Until then nothing else works, and after INITIAL_PASSWORD_DAYS not even that.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone

from tmsdash.models import InitialPassword
from tmsdash.web.base import Middleware
from tmsdash.web.errors import error_response, wants_json
from tmsdash.web.sessions import is_polling, reload_page

INITIAL_PASSWORD_DAYS = 7
OWN_PASSWORD_PAGES = ("password_change", "admin_password_change")
CHOOSE = (
    "An administrator gave you your password. Choose one of your own first, on the page /password/; until then nothing "
    "else works. Nothing was sent to TMS."
)
EXPIRED = (
    f"An administrator gave you your password more than {INITIAL_PASSWORD_DAYS} days ago, and it was never changed: it "
    "no longer works. Ask an administrator for a new one. Nothing was sent to TMS."
)


def note_given(user: User) -> None:
    """Make `user` change the password that they were just given before they do anything else."""
    InitialPassword.objects.update_or_create(user=user, defaults={"given_at": timezone.now()})


def note_own(user: Any) -> None:
    """Note that `user` has chosen their password themselves, or has none."""
    InitialPassword.objects.filter(user=user).delete()


class InitialPasswordMiddleware(Middleware):
    """Restrict users who were given a password to the page that changes it, and to what needs no sign-in."""

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., HttpResponseBase], *args: Any
    ) -> HttpResponseBase | None:
        if not getattr(view_func, "login_required", True) or not request.user.is_authenticated:
            return None
        initial: InitialPassword | None = getattr(request.user, "initial_password", None)
        if initial is None:
            return None
        if timezone.now() - initial.given_at > timedelta(days=INITIAL_PASSWORD_DAYS):
            return error_response(request, 403, EXPIRED)
        if request.resolver_match is not None and request.resolver_match.view_name in OWN_PASSWORD_PAGES:
            request.has_initial_password = True  # type: ignore[attr-defined]
            return None
        if wants_json(request):
            return error_response(request, 403, CHOOSE)
        return reload_page() if is_polling(request) else redirect(OWN_PASSWORD_PAGES[0])
