"""Middleware in front of every view."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, UnreadablePostError
from django.utils import timezone

from tmsdash import heavy_work
from tmsdash.tokens import REMOVED, looks_like_token
from tmsdash.web import request_id
from tmsdash.web.access_log import log_refused, user_name
from tmsdash.web.base import Middleware
from tmsdash.web.bodies import forget_body, receive_body
from tmsdash.web.display import UTC, zone_of
from tmsdash.web.errors import error_response, wants_json
from tmsdash.web.kept_forms import author_of
from tmsdash.web.plain_http import OPEN_PATHS

RETRY_AFTER_S = 5
OIDC_CALLBACK = "/oidc/callback/"
METHODS = ("GET", "HEAD", "POST", "OPTIONS")

HEADERS = {
    # Nothing inline, and nothing from another host; the admin works under it.
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
        "form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # Django's CSRF check over HTTPS needs the referrer
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    # Private unless the answer says otherwise; static files say that they may be kept.
    "Cache-Control": "no-store",
}


class ResponseHeadersMiddleware(Middleware):
    """Put the security headers and the request's id on every answer; outermost, so that no answer escapes it."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        own_id = request_id.begin()
        response = self.get_response(request)
        if response.status_code == 405 and not response.streaming and not response.content:
            allowed = response["Allow"]  # Django's own answer is empty
            with _shown_zone(request):  # which the other middleware has left
                response = error_response(request, 405, f"This address takes {allowed} only. Nothing was done.")
            response["Allow"] = allowed
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers[request_id.HEADER] = own_id
        return response


class MethodsMiddleware(Middleware):
    """Refuse with 405, before any view, methods that no page uses: Django's own views treat TRACE as GET."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request) if request.method in METHODS else HttpResponseNotAllowed(METHODS)


class HealthHostMiddleware(Middleware):
    """Answer /health and /metrics under any host name: load balancers, scrapers and the watchdog ask by address."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info in OPEN_PATHS:
            # The first allowed name that is not a wildcard.
            request.META["HTTP_HOST"] = "".join(settings.ALLOWED_HOSTS[:1]).lstrip("*.") or "localhost"
        return self.get_response(request)


class NoTokenInAddressMiddleware(Middleware):
    """Refuse addresses that hold what looks like a bearer token, pasted into a search box or a link.

    Pages would show it again, redirects pass it on, and the log keeps the addresses of what failed.
    """

    def __call__(self, request: HttpRequest) -> HttpResponse:
        is_answer = request.path_info == OIDC_CALLBACK  # with a code of the provider's, which its view takes out
        if is_answer or not looks_like_token(f"{request.path_info}?{unquote(request.META.get('QUERY_STRING', ''))}"):
            return self.get_response(request)
        answer = error_response(
            request,
            400,
            "The address holds what looks like a bearer token, so nothing was looked up. Browsers and proxies keep "
            "addresses: if it is a token, revoke it. Then search for something else.",
        )
        request.path = request.path_info = f"/{REMOVED}"  # which Django writes to the log
        return answer


class TimeZoneMiddleware(Middleware):
    """Shows times in the zone that somebody chose. JSON has UTC, whoever asks."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with _shown_zone(request):
            return self.get_response(request)


def _shown_zone(request: HttpRequest) -> AbstractContextManager[None]:
    name = UTC if wants_json(request) else zone_of(request)
    return nullcontext() if name == UTC else timezone.override(ZoneInfo(name))


class RequestBodyMiddleware(Middleware):
    """Receive the whole body before a view looks at the request, and refuse what is too large.

    The limit is DATA_UPLOAD_MAX_MEMORY_SIZE, for uploads too. A body without Content-Length is empty
    to Django, so that header is all there is to look at, and a chunked body is answered 411.
    Receiving takes a thread for as long as the client likes. So at most half of the threads wait for
    users' bodies, and a few for those of people who are not signed in, who have little to send: unless the
    address proves that a page of ours was made for them, when they count as users.
    Long ones are worked on one after the other, see tmsdash.heavy_work.
    """

    ANONYMOUS_LIMIT = 64 << 10  # bytes: the form to sign in is the largest thing that they send
    READ_BEYOND_LIMIT = 1 << 20  # bytes: so much more the documented proxy lets through
    LONG_BODY = 64 << 10  # bytes: some two thousand ids

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        super().__init__(get_response)
        self._for_users = threading.BoundedSemaphore(max(1, settings.WEB_THREADS // 2))
        self._for_others = threading.BoundedSemaphore(max(1, settings.WEB_THREADS // 8))

    def __call__(self, request: HttpRequest) -> HttpResponse:
        refused = self._refuse(request)
        if refused is None:
            try:
                with heavy_work.turn() if _length(request) > self.LONG_BODY else nullcontext():
                    return self.get_response(request)
            except heavy_work.Busy:
                message = (
                    "The dashboard is busy: other long lists are before this one. Nothing was sent. Try again soon."
                )
                refused = error_response(request, 503, message, retry_after_s=RETRY_AFTER_S)
            finally:
                forget_body(request)
        log_refused(request, f"its body was not taken ({refused.status_code})")
        return refused

    def _refuse(self, request: HttpRequest) -> HttpResponse | None:
        """Return the answer to a request whose body is refused, or None once the body has been received."""
        length = (request.META.get("CONTENT_LENGTH") or "").lstrip("0")
        if not length:
            if request.META.get("HTTP_TRANSFER_ENCODING"):
                return error_response(request, 411, "Send the body with a Content-Length, not chunked.")
            return None
        if not (length.isascii() and length.isdigit()):
            return error_response(request, 400, "The Content-Length is not a number. Nothing was sent to TMS.")
        # A list typed for longer than a session lasts must not be lost, however long it is.
        is_user = bool(user_name(request) or getattr(request, "session_ended", False) or author_of(request))
        size, limit = int(length[:19]), settings.DATA_UPLOAD_MAX_MEMORY_SIZE  # more digits are too many anyway
        if size > limit:
            if is_user and size <= limit + self.READ_BEYOND_LIMIT:
                self._read_away(request)
            message = f"The request is larger than {limit >> 20} MiB. Nothing was sent to TMS."
            return error_response(request, 413, f"{message} Cut the list into smaller ones.")
        if not is_user and size > self.ANONYMOUS_LIMIT:
            return error_response(request, 401 if wants_json(request) else 413, "Sign in first. Nothing was sent.")
        return self._receive(request, size, self._for_users if is_user else self._for_others)

    def _read_away(self, request: HttpRequest) -> None:
        """Receive a body that is refused all the same: interrupted, a proxy would show an error of its own."""
        if self._for_users.acquire(blocking=False):
            try:
                while request.read(1 << 16):
                    pass
            except UnreadablePostError:
                return
            finally:
                self._for_users.release()

    def _receive(self, request: HttpRequest, length: int, room: threading.BoundedSemaphore) -> HttpResponse | None:
        if not room.acquire(blocking=False):
            message = "The dashboard is busy: too many requests are still arriving. Nothing was sent. Try again soon."
            return error_response(request, 503, message, retry_after_s=RETRY_AFTER_S)
        try:
            is_whole = len(receive_body(request)) == length
        except UnreadablePostError:
            is_whole = False
        finally:
            room.release()
        if not is_whole:  # the server does not report a body that broke off
            return error_response(request, 400, "The request broke off. Nothing was sent to TMS. Send it again.")
        return None


def _length(request: HttpRequest) -> int:
    """Return the Content-Length of a request whose body was received."""
    return int(request.META.get("CONTENT_LENGTH") or 0)
