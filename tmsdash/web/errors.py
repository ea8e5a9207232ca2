"""Error answers in our own words: JSON for scripts, a page for people."""

import re
import sys
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.debug import SafeExceptionReporterFilter

from tmsdash.banners import shown_banners
from tmsdash.db import broken_rows
from tmsdash.db.transactions import UNUSABLE_DATABASE
from tmsdash.web import request_id
from tmsdash.web.display import theme_of

BROKEN_ROW = (
    "Somebody wrote it past this site, so nothing of it is shown. Tell an administrator: manage.py audit_verify --jobs "
    "names all that is not as it was written."
)
JSON_PATHS = ("/proxy_fetch", "/api/", "/health", "/metrics")


def wants_json(request: HttpRequest) -> bool:
    """Tell whether `request` is for an endpoint that always answers in JSON."""
    return request.path_info.startswith(JSON_PATHS)


def error_json(status: int, message: str, field: str = "request") -> JsonResponse:
    """Return a refusal that belongs to no attempt: nothing was sent and nothing was recorded."""
    body = {
        "status": "error",
        "outcome": "refused",
        "attempt_id": None,
        "message": message,
        "errors": {field: [message]},
        "job_id": None,
        "request_id": request_id.current(),
    }
    return JsonResponse(body, status=status)


def error_response(
    request: HttpRequest, status: int, message: str, list_url: str = "", *, retry_after_s: int | None = None
) -> HttpResponse:
    """Return `message` with `status`, as JSON or as a page, whichever `request` is for.

    `list_url` is the address of the list to go back to, and `retry_after_s` says when to come back, if there is one.
    """
    if wants_json(request):
        answer: HttpResponse = error_json(status, message)
    else:
        answer = render(request, "error.html", _context(status, message) | {"list_url": list_url}, status=status)
    if retry_after_s is not None:
        answer["Retry-After"] = str(retry_after_s)
    return answer


def _context(status: int, message: str) -> dict[str, Any]:
    title = HTTPStatus(status).phrase
    return {"title": title, "message": message, "status": status, "request_id": request_id.current()}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, SessionInterrupted):  # raised after the view
        message = "Your session was ended in the meantime. Sign in, and check User Jobs before you send anything again."
        return error_response(request, 400, message)
    return error_response(request, 400, "The request could not be understood. Nothing was sent to TMS.")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    message = str(exception) or "Your account may not do this. Ask an administrator for the permission."
    return error_response(request, 403, message)


def not_found(request: HttpRequest, exception: Http404) -> HttpResponse:
    return error_response(request, 404, "There is no such page, or it belongs to somebody else.")


def nothing_here(request: HttpRequest, place: str) -> HttpResponse:
    """Answer 404 at addresses that a library offers, and that this site has no use for."""
    raise Http404


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer an unexpected error; Django calls this while it handles the exception."""
    status = 500
    message = "Something went wrong on our side. Look at User Jobs before you try again; the log has the details."
    error = sys.exc_info()[1]
    if broken := broken_rows.explain(error):
        status, message = 503, f"{broken} {BROKEN_ROW}"
    # SQLite reports a damaged file with the most general class; the specific ones are bugs of ours.
    elif isinstance(error, UNUSABLE_DATABASE) or type(error) is DatabaseError:
        status = 503
        message = "A database does not answer. Look at User Jobs before you send anything again, and tell the admin."
    if wants_json(request):
        return error_json(status, message)
    # No request context: whatever is broken may break the navigation, too.
    context = _context(status, message) | {"theme": theme_of(request), "banners": shown_banners}
    return HttpResponse(render_to_string("error.html", context), status=status)


class AlwaysHidingFilter(SafeExceptionReporterFilter):
    """Hide sensitive variables in error reports even when DEBUG is on: bearer tokens are real there too."""

    def is_active(self, request: HttpRequest | None) -> bool:
        return True


def json_get(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Restrict a view whose errors are JSON to GET and HEAD, others get 405 in JSON; answer 400 to a BadLimitError."""

    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            response = error_json(405, "Use GET.")
            response["Allow"] = "GET, HEAD"
            return response
        try:
            return view(request, *args, **kwargs)
        except BadLimitError as error:
            return error_json(400, str(error), "limit")

    return checked


class BadLimitError(ValueError):
    """The `limit` of a listing is not a whole number in its range."""


def limit_of(request: HttpRequest, *, default: int = 50, maximum: int = 500) -> int:
    """Return the `limit` of a JSON listing; raises BadLimitError."""
    text = request.GET.get("limit", str(default))
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= maximum:
        raise BadLimitError(f"limit must be a whole number from 1 to {maximum}.")
    return int(text)
