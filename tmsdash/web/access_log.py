"""The [ACCESS] lines of the log: who was denied what, or sent what no page of ours sends, and from where."""

import logging
from contextlib import suppress

from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from tmsdash.db.transactions import drop_if_broken
from tmsdash.logs import shown_path
from tmsdash.text import one_line
from tmsdash.web.base import Middleware

logger = logging.getLogger(__name__)


def tell_tms_verdict(response: HttpResponse) -> HttpResponse:
    """Mark an answer whose status is TMS's: what TMS forbids, we have not denied."""
    response.is_tms_verdict = True  # type: ignore[attr-defined]
    return response


class AccessLogMiddleware(Middleware):
    """Log what is denied; sending strangers to the sign-in page does not count."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if _is_denied(request, response):
            method = one_line(request.method or "", 20)
            _write(request, "denied", f"{method} {shown_path(request.path)}, {response.status_code}")
        return response


def log_refused(request: HttpRequest, what: str) -> None:
    """Log who sent something that no page of ours sends, and from where; once for each request.

    `what` is said in our words: what was sent may hold a token.
    """
    if not hasattr(request, "refused_for"):
        request.refused_for = what  # type: ignore[attr-defined]
        _write(request, "refused", what)


def _write(request: HttpRequest, verdict: str, what: str) -> None:
    name = one_line(user_name(request), 150) or "-"
    address = one_line(request.META.get("REMOTE_ADDR", ""), 45)
    logger.warning("[ACCESS] %s: user=%s, address=%s, %s", verdict, name, address, what)


def _is_denied(request: HttpRequest, response: HttpResponse) -> bool:
    if response.status_code == 403:
        return not getattr(response, "is_tms_verdict", False)
    if response.status_code == 401:  # to JSON, or to a list that came too late
        return settings.SESSION_COOKIE_NAME in request.COOKIES
    if response.status_code == 404:  # of an existing page: what belongs to somebody else is "not there"
        match = request.resolver_match
        is_named = match is not None and match.url_name is not None
        return is_named and not getattr(response, "is_tms_verdict", False) and bool(user_name(request))
    if response.status_code == 302:  # the admin sends everybody who is not staff to its sign-in page
        return response["Location"].startswith(f"{reverse('admin_login')}?") and bool(user_name(request))
    return False


def user_name(request: HttpRequest) -> str:
    """Return who is signed in; the empty string if nobody is, or that cannot be known."""
    user = getattr(request, "user", None)
    # The user may be looked up only here; whoever needs them meets the error again.
    with suppress(AnyDatabaseError), drop_if_broken("default"):
        return user.get_username() if user is not None else ""
    return ""
