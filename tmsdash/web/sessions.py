"""Sessions: which an account has, and how long one lasts.

SESSION_IDLE_S after the last request of a person, SESSION_MAX_S in all, and until somebody ends it.
"""

import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, logout
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.db import Error as AnyDatabaseError
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare

from tmsdash.db.transactions import drop_if_broken, single_write
from tmsdash.models import ADDRESS, BEGUN, SEEN, USER_AGENT, Session, public_id
from tmsdash.web.base import Middleware
from tmsdash.web.browsers import user_agent_of

logger = logging.getLogger(__name__)

NOTED_EVERY_S = 60  # each note is a write, for which the request has to wait
WAIT_S = 1.0  # for other writers; the note can wait for the next request


def begin(request: HttpRequest) -> None:
    """Start counting; called when somebody has signed in."""
    request.session[BEGUN] = time.time()
    _note_use(request)


def _note_use(request: HttpRequest) -> None:
    request.session[SEEN] = time.time()
    request.session[ADDRESS] = request.META.get("REMOTE_ADDR", "")
    request.session[USER_AGENT] = user_agent_of(request)


def live_sessions(user: Any) -> list[Session]:
    """Return the sessions in which `user` is signed in, the most recently used first."""
    now, auth_hash = time.time(), user.get_session_auth_hash()
    rows = Session.objects.filter(
        account_id=user.pk,
        begun_at__gte=datetime.fromtimestamp(now - settings.SESSION_MAX_S, UTC),
        seen_at__gte=datetime.fromtimestamp(now - settings.SESSION_IDLE_S, UTC),
    ).order_by("-seen_at")
    # A session from before the password was changed is over, too.
    return [row for row in rows if constant_time_compare(row.get_decoded().get(HASH_SESSION_KEY, ""), auth_hash)]


def end_sessions(user: Any, *, only: Iterable[str] | None = None, but: str | None = None) -> int:
    """End sessions of `user`: all of them, those whose public ids are in `only`, or all `but` the one of this key.

    Returns how many the user was signed in with. What requests in flight save afterwards does not bring them back.
    """
    live = {row.session_key for row in live_sessions(user)}
    rows = Session.objects.filter(account_id=user.pk).exclude(session_key=but)
    keys = set(rows.values_list("session_key", flat=True))
    if only is not None:
        chosen = set(only)
        keys = {key for key in keys if public_id(key) in chosen}
    Session.objects.filter(session_key__in=keys).delete()
    return len(keys & live)


def count_wrong_password(session: SessionBase) -> int:
    """Count one more wrong password given in a session for its own account; return how many that makes."""
    rows = Session.objects.filter(session_key=session.session_key)
    rows.update(wrong_passwords=F("wrong_passwords") + 1)
    return sum(rows.values_list("wrong_passwords", flat=True))  # of one row, or none if it was ended meanwhile


def forget_wrong_passwords(session: SessionBase) -> None:
    """Reset the count of wrong passwords of a session: the right one was given."""
    Session.objects.filter(session_key=session.session_key).update(wrong_passwords=0)


class TimeLeft(NamedTuple):
    """How many seconds a session still lasts, and whether SESSION_MAX_S is what ends it, which no use puts off."""

    seconds: float
    is_last: bool


def time_left(request: HttpRequest) -> TimeLeft:
    """Return how long the session of a signed-in user lasts if nobody uses it from now on."""
    now, session = time.time(), request.session
    idle = session.get(SEEN, now) + settings.SESSION_IDLE_S - now
    last = session.get(BEGUN, now) + settings.SESSION_MAX_S - now
    return TimeLeft(max(0.0, min(idle, last)), last <= idle)


def is_polling(request: HttpRequest) -> bool:
    """Tell whether a page keeps part of itself up to date (static/live.js), which does not count as use."""
    return request.method == "GET" and request.headers.get("HX-Request") == "true"


def reload_page() -> HttpResponse:
    """Return what makes a page that keeps itself up to date load as a whole, instead of taking this for a part."""
    return HttpResponse(headers={"HX-Refresh": "true"})


def forget_at_client(response: HttpResponse) -> HttpResponse:
    """Make the browser forget what pages of an ended session stored in it; `no-store` keeps its cache clean.

    That is what this origin stored, which other ports have no part in. Below a path it would be what the other sites of
    the origin stored, too, so nothing is asked. No cookie is cleared so: that would be the neighbours' as well.
    """
    if not settings.BASE_PATH:
        response["Clear-Site-Data"] = '"storage"'  # without "cache", which can take browsers seconds
    return response


class SessionLimitsMiddleware(Middleware):
    """Sign out users whose session is over; everything after this treats them as not signed in."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.session_ended = False  # type: ignore[attr-defined]
        is_over = False
        # Whoever asks who the user is meets the error again; pages that do not, such as /health, work.
        with suppress(AnyDatabaseError), drop_if_broken("default"):
            is_over = request.user.is_authenticated and not _goes_on(request)
        if is_over:
            end(request)
        response = self.get_response(request)
        return forget_at_client(response) if request.session_ended else response  # type: ignore[attr-defined]


def end(request: HttpRequest) -> None:
    """End the session of a request, which has no user then, whether or not the session's row can be deleted."""
    request.session_ended = True  # type: ignore[attr-defined]
    try:
        with drop_if_broken("default"):
            logout(request)
    except AnyDatabaseError as error:
        logger.warning("[SESSION] A session that is over could not be deleted: %s", error)
        request.user = AnonymousUser()
        request.session = type(request.session)()  # a new, empty one; the old row is over all the same


def _goes_on(request: HttpRequest) -> bool:
    """Tell whether the session is within its limits, and note every now and then that it is in use."""
    now, session = time.time(), request.session
    has_new_key = session.modified  # by Django, where only a key in SECRET_KEY_FALLBACKS fits: the cookie must follow
    if BEGUN not in session:  # it began before there were limits
        begin(request)
        return _save(session, has_new_key)
    idle_s = now - session[SEEN]
    if idle_s > settings.SESSION_IDLE_S or now - session[BEGUN] > settings.SESSION_MAX_S:
        return False
    if is_polling(request) or idle_s < min(NOTED_EVERY_S, settings.SESSION_IDLE_S / 10):
        return True
    _note_use(request)
    return _save(session, has_new_key)


def keep_in_session(request: HttpRequest, name: str, value: str) -> None:
    """Keep a value in the session, as a convenience: not at all where that would have to wait for long."""
    session = request.session
    has_new_key = session.modified
    if session.get(name) != value:
        session[name] = value
        _save(session, has_new_key)


def _save(session: Any, has_new_key: bool) -> bool:
    """Save the session now: after the view, failing to would lose the answer. False if somebody has ended it."""
    try:
        with single_write("default", WAIT_S):
            if not session.save_unless_ended():
                return False
    except AnyDatabaseError as error:
        logger.warning("[SESSION] The session could not be saved, as to note the time of its use: %s", error)
    session.modified = has_new_key
    return True
