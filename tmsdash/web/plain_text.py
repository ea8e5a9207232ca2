"""What we keep away from Django because it would answer 500: odd encodings, and NUL in texts."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from django.http import HttpRequest, HttpResponse

from tmsdash.web.base import Middleware

_BOUNDARY = re.compile(r';\s*boundary=("[^"]*"|[^\s;]*)', re.IGNORECASE)
_CHARSET = re.compile(r';\s*charset="?(utf-?8|us-ascii|iso-8859-\d{1,2}|windows-125\d)"?\s*(;|$)', re.IGNORECASE)

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def with_plain_content_type(application: Application) -> Application:
    """Return a WSGI application that sees only type, boundary and a common charset of each Content-Type.

    Django decodes with whatever codec of Python's the charset names, `hex` and `undefined` among them,
    and parameters written as `charset*=` can break off the request before any middleware sees it.
    """

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        given = environ.get("CONTENT_TYPE") or ""
        if ";" in given:
            boundary, charset = _BOUNDARY.search(given), _CHARSET.search(given)
            kept = [f"boundary={boundary[1]}"] if boundary else []
            kept += [f"charset={charset[1]}"] if charset else []
            environ["CONTENT_TYPE"] = "; ".join([given.partition(";")[0], *kept])
        return application(environ, start_response)

    return call


class NoNulMiddleware(Middleware):
    """Replace NUL in the query and in cookies: nothing of ours contains it, and PostgreSQL rejects it."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.META["QUERY_STRING"] = request.META.get("QUERY_STRING", "").replace("%00", "%EF%BF%BD")
        if any("\0" in value for value in request.COOKIES.values()):
            request.COOKIES = {name: value.replace("\0", "\ufffd") for name, value in request.COOKIES.items()}
        return self.get_response(request)
