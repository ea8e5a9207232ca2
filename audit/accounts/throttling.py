"""The throttle of password checks. django-axes counts failures; here its records are kept short and its count exact.

1. Failures count by name and address, so that nobody can lock somebody else out from elsewhere.
2. One password at a time is checked for each name and address. django-axes asks before the hashing how often a name
   failed, and counts afterwards: a burst of requests would otherwise get more guesses than a row of them.
3. Nothing that was sent is kept, because people paste tokens into anything.
"""

import threading
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.handlers.proxy import AxesProxyHandler
from axes.helpers import get_credentials
from django.conf import settings
from django.http import HttpRequest, HttpResponse, QueryDict

from audit.accounts.sign_in_page import sign_in_page, waiting_for
from audit.models import USER_ID_LENGTH
from tmsdash.db import host_turns
from tmsdash.passwords.hashing import HashingBusyError, in_line
from tmsdash.web.addresses import throttled_address
from tmsdash.web.errors import error_response
from tmsdash.web.kept_forms import SEALED

_turns = [threading.Lock() for _ in range(64)]  # shared by names, which at worst wait for each other
TURN_WAIT_S = 60.0  # the line is short; only a database that does not answer takes so long


class ThrottleHandler(AxesDatabaseHandler):  # type: ignore[misc]
    def user_login_failed(
        self, sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any
    ) -> None:
        """Count one more failure. The query, the form and these headers are hidden, or django-axes would store them."""
        if request is None:
            return
        query, form = request.GET, request.POST
        request.GET = request.POST = QueryDict()
        request.axes_user_agent = request.axes_http_accept = request.axes_path_info = ""  # type: ignore[attr-defined]
        try:
            super().user_login_failed(sender, credentials, request, **kwargs)
        finally:
            request.GET, request.POST = query, form


def sign_in_turn(request: HttpRequest) -> AbstractContextManager[None]:
    # Normalized, because Django takes many spellings for the same name. Cut first, because nobody has a longer name,
    # and normalizing thousands of accents takes as many steps as their number squared.
    name = unicodedata.normalize("NFKC", request.POST.get("username", "")[:USER_ID_LENGTH]).strip()
    return turn(f"{name} {throttled_address(request)}")


@contextmanager
def turn(key: str) -> Iterator[None]:
    """Let one password at a time be checked for each `key`; whoever waits stands in the line for hashing.

    Raises HashingBusyError: at once if that line is full, or after TURN_WAIT_S.
    """
    number = zlib.crc32(key.encode(errors="surrogatepass")) % len(_turns)  # the same in all workers
    lock = _turns[number]
    with in_line():
        if not lock.acquire(timeout=TURN_WAIT_S):
            raise HashingBusyError
        try:
            with _turn_of_workers(number):
                yield
        finally:
            lock.release()


@contextmanager
def _turn_of_workers(number: int) -> Iterator[None]:
    try:
        taken = host_turns.take(settings.VAR_DIR, _identity(number), TURN_WAIT_S)
    except TimeoutError:
        raise HashingBusyError from None
    try:
        yield
    finally:
        host_turns.give_back(taken)


def remove_turns() -> None:
    """Remove what the workers of this installation take turns by; it is made again when it is needed."""
    for number in range(len(_turns)):
        host_turns.remove(_identity(number))


def _identity(number: int) -> host_turns.Identity:
    folder = settings.VAR_DIR.stat()
    return folder.st_dev, folder.st_ino, number


def is_throttled(request: HttpRequest, user: Any) -> bool:
    """Tell whether passwords of `user` are not checked from this address for now."""
    return not AxesProxyHandler.is_allowed(request, get_credentials(user.get_username()))


def count_failure(request: HttpRequest, user: Any) -> bool:
    """Count a wrong password of a signed-in user like one at sign-in; tell whether the user has to wait now."""
    AxesProxyHandler.user_login_failed(type(user), get_credentials(user.get_username()), request)
    return bool(getattr(request, "axes_locked_out", False))


def clear_failures(request: HttpRequest, user: Any) -> None:
    """Forget the failures of `user` from this address, because the password was right."""
    AxesProxyHandler.get_implementation().reset_user_attempts(request, get_credentials(user.get_username()))


def locked_out(request: HttpRequest, response: HttpResponse, credentials: dict[str, Any] | None) -> HttpResponse:
    """Return what django-axes shows instead of `response` after too many failures."""
    if response.status_code == 429:  # it already says what happened
        return response
    message = (
        "Too many sign-ins with this user name failed from your address. Wait {minutes} minutes, then try again with "
        "the right password, or ask an administrator for a new one."
    )
    waiting = waiting_for(request)
    if waiting[SEALED]:  # what was typed is not lost by waiting
        shown = message.format(minutes=_cool_off_s() // 60)
        return sign_in_page(request, next_address="", kept=waiting[SEALED], problem=shown, status=429)
    return _wait(request, message)


def too_many_wrong_passwords(request: HttpRequest) -> HttpResponse:
    """Return what is shown after too many wrong passwords, when the session was ended."""
    return _wait(
        request,
        "Too many wrong passwords were entered, so you were signed out. Wait {minutes} minutes, then sign in with "
        "the right password, or ask an administrator for a new one.",
    )


def _wait(request: HttpRequest, message: str) -> HttpResponse:
    seconds = _cool_off_s()
    return error_response(request, 429, message.format(minutes=seconds // 60), retry_after_s=seconds)


def _cool_off_s() -> int:
    return int(settings.AXES_COOLOFF_TIME.total_seconds())
