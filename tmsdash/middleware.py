"""Middleware in front of every view."""

import ipaddress
import threading
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseBase, UnreadablePostError

from tmsdash.errors import error_response, wants_json

GetResponse = Callable[[HttpRequest], HttpResponse]


class TrustedProxyMiddleware:
    """Take client address and scheme from X-Forwarded-For and -Proto, but only from TRUSTED_PROXIES.

    Anybody can write these headers; from any other peer they are dropped. The client is the last
    address in X-Forwarded-For that is not one of the trusted proxies itself.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        forwarded_for = request.META.pop("HTTP_X_FORWARDED_FOR", "")
        forwarded_proto = request.META.pop("HTTP_X_FORWARDED_PROTO", "")
        if _is_trusted(request.META.get("REMOTE_ADDR", "")):
            for address in reversed([part.strip() for part in forwarded_for.split(",")]):
                if not _is_address(address):
                    break
                request.META["REMOTE_ADDR"] = address
                if not _is_trusted(address):
                    break
            if forwarded_proto in ("http", "https"):
                request.META["wsgi.url_scheme"] = forwarded_proto  # what request.scheme reads
        return self.get_response(request)


def _is_address(text: str) -> bool:
    if len(text) > 45:  # what the audit's column holds; an IPv6 zone could be of any length
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_trusted(text: str) -> bool:
    return _is_address(text) and any(ipaddress.ip_address(text) in network for network in settings.TRUSTED_PROXIES)


class RequestBodyMiddleware:
    """Receive the whole body before anything else looks at the request, and refuse what is too large.

    The limit is DATA_UPLOAD_MAX_MEMORY_SIZE, for uploads too. A body without Content-Length is empty
    to Django, so that header is all there is to look at, and a chunked body is answered 411.
    Receiving takes a thread for as long as the client likes: at most half of them may wait like that,
    so that the other half still serves pages while somebody sends bodies that never end.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self._receiving = threading.BoundedSemaphore(max(1, settings.WEB_THREADS // 2))

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._refuse(request) or self.get_response(request)

    def _refuse(self, request: HttpRequest) -> HttpResponse | None:
        """Return the answer to a request whose body is not taken, or None once it is received."""
        length = (request.META.get("CONTENT_LENGTH") or "").lstrip("0")
        if not length:
            if request.META.get("HTTP_TRANSFER_ENCODING"):
                return error_response(request, 411, "Send the body with a Content-Length, not chunked.")
            return None
        if not length.isdecimal():
            return None  # no length: Django takes the body for empty, and the server refuses it anyway
        if len(length) > 18 or int(length) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return error_response(
                request,
                413,
                f"The request is larger than {settings.DATA_UPLOAD_MAX_MEMORY_SIZE >> 20} MiB. "
                "Nothing was sent to TMS. Cut the list into smaller ones.",
            )
        if not self._receiving.acquire(blocking=False):
            message = "The dashboard is busy: too many requests are still arriving. Nothing was sent. Try again soon."
            return error_response(request, 503, message)
        try:
            _ = request.body  # kept by Django for whoever asks
        except UnreadablePostError:
            return error_response(request, 400, "The request broke off. Nothing was sent to TMS. Send it again.")
        finally:
            self._receiving.release()
        return None


class SignInRequiredMiddleware(LoginRequiredMiddleware):
    """Every view needs a signed-in user unless it says otherwise: pages redirect, JSON answers 401."""

    def handle_no_permission(  # type: ignore[override]
        self, request: HttpRequest, view_func: Callable[..., HttpResponseBase]
    ) -> HttpResponse:
        if wants_json(request):
            return error_response(request, 401, "Sign in first. Nothing was sent to TMS.")
        return super().handle_no_permission(request, view_func)
