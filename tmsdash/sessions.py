"""How long a session lasts: SESSION_IDLE_S after the last request of a person, and SESSION_MAX_S in all."""

import logging
import time
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.db import DatabaseError, connections
from django.http import HttpRequest, HttpResponse

from tmsdash.databases import write_transaction

logger = logging.getLogger(__name__)

BEGUN, SEEN = "begun_at", "seen_at"  # in the session, in seconds since 1970
NOTED_EVERY_S = 60  # each note is a write, which every request would have to wait for
WAIT_S = 1.0  # for other writers; the note can wait for the next request


def begin(request: HttpRequest) -> None:
    """Count from now on; called when somebody signed in."""
    request.session[BEGUN] = request.session[SEEN] = time.time()


def is_polling(request: HttpRequest) -> bool:
    """Tell whether a page asks for a part of itself by the clock (htmx does), which is no use that anybody makes."""
    return request.method == "GET" and request.headers.get("HX-Request") == "true"


class SessionLimitsMiddleware:
    """Sign users out whose session is over; whatever comes next treats them as not signed in."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.session_ended = False  # type: ignore[attr-defined]
        try:
            is_over = request.user.is_authenticated and not _goes_on(request)
        except DatabaseError:
            # Whoever asks who the user is meets it again; pages that need nobody, such as /health, do not.
            connections["default"].close()
            is_over = False
        if is_over:
            _end(request)
        return self.get_response(request)


def _end(request: HttpRequest) -> None:
    """Make the request one of nobody, whether the session's row can be deleted or not."""
    request.session_ended = True  # type: ignore[attr-defined]
    try:
        logout(request)
    except DatabaseError as error:
        logger.warning("[SESSION] A session that is over could not be deleted: %s", error)
        connections["default"].close()
        request.user = AnonymousUser()
        request.session = type(request.session)()  # a new, empty one; the old row is over all the same


def _goes_on(request: HttpRequest) -> bool:
    """Tell whether the session is within its limits, and note now and then that it is in use."""
    now, session = time.time(), request.session
    if BEGUN not in session:  # it began before there were limits
        begin(request)
        return _save(session)
    idle_s = now - session[SEEN]
    if idle_s > settings.SESSION_IDLE_S or now - session[BEGUN] > settings.SESSION_MAX_S:
        return False
    if is_polling(request) or idle_s < min(NOTED_EVERY_S, settings.SESSION_IDLE_S / 10):
        return True
    session[SEEN] = now
    return _save(session)


def _save(session: SessionBase) -> bool:
    """Save the session now: after the view a failure would cost the answer. False if somebody ended it meanwhile."""
    try:
        with write_transaction("default", WAIT_S):
            if not session.exists(session.session_key or ""):
                return False
            session.save()
    except (DatabaseError, UpdateError) as error:  # UpdateError is also what a full disk looks like
        logger.warning("[SESSION] The time of the last request could not be noted: %s", error)
    session.modified = False
    return True
