"""Plain HTTP on an HTTPS-only site: browsers that open a page are redirected, everything else is refused.

A script that was redirected would never learn that its token has already crossed the network in clear. A
browser that opens a page sends nothing secret: its cookies are Secure, and after the first visit it does
not use plain HTTP any more (HSTS).
"""

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from tmsdash.web.base import Middleware
from tmsdash.web.errors import error_response, wants_json

OPEN_PATHS = ("/health", "/metrics")  # load balancers and scrapers ask over plain HTTP, under any host name
MESSAGE = (
    "This site accepts only HTTPS. What you sent has crossed the network unprotected: replace every token or password "
    "that was in it, and use the address with https:// from now on. Nothing was done, and nothing was sent to TMS."
)


class PlainHttpMiddleware(Middleware):
    """Answer 403 to what only scripts send over plain HTTP; Django's SecurityMiddleware redirects the rest."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        is_allowed = not settings.SECURE_SSL_REDIRECT or request.is_secure() or request.path_info in OPEN_PATHS
        if is_allowed or _opens_a_page(request):
            return self.get_response(request)
        return error_response(request, 403, MESSAGE)


def _opens_a_page(request: HttpRequest) -> bool:
    """Tell whether a browser may have sent this because somebody typed an address or followed a link."""
    return (
        request.method in ("GET", "HEAD")
        and not wants_json(request)
        and "Authorization" not in request.headers
        and settings.SESSION_COOKIE_NAME not in request.COOKIES  # browsers keep it for HTTPS
    )
