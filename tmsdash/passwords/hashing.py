"""How passwords are hashed, and a limit on it: each takes a core for as long as a whole page does.

Hashing is slow on purpose, and anybody can ask for it. Whatever hashes, page or command, does so in one of PLACES, this
worker's share of the cores. WAITING more requests may line up for them; the others are told at once to come back, so
that strangers who try to sign in never take the threads of those who are signed in.

New hashes are argon2id's. PBKDF2's, which older versions made, are renewed when their user gives the password. Until
none is left, a failed sign-in takes both, so that nobody sees by the time that it takes what kind of hash, if any, a
name has.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model, hashers
from django.http import HttpRequest, HttpResponse
from django.views.decorators.debug import sensitive_variables

from tmsdash.processes import cores
from tmsdash.web.base import Middleware
from tmsdash.web.errors import error_response

logger = logging.getLogger(__name__)

PLACES = max(1, cores() // settings.WEB_WORKERS)  # in all workers together as many as there are cores
WAITING = max(1, settings.WEB_THREADS // 4)
RETRY_AFTER_S = 5

_places = threading.BoundedSemaphore(PLACES)
_line = threading.BoundedSemaphore(PLACES + WAITING)
_thread = threading.local()


class HashingBusyError(Exception):
    """Too many passwords are being hashed, or waiting for it, to take this one."""


@contextmanager
def in_line() -> Iterator[None]:
    """Stand in the queue for hashing until the block ends; whoever is in it may hash as often as needed.

    Raises HashingBusyError at once if the queue is full.
    """
    if getattr(_thread, "is_in_line", False):
        yield
        return
    if not _line.acquire(blocking=False):
        raise HashingBusyError
    _thread.is_in_line, _thread.algorithms = True, set()
    try:
        yield
    finally:
        _thread.is_in_line, _thread.algorithms = False, set()
        _line.release()


class Argon2PasswordHasher(hashers.Argon2PasswordHasher):
    """Argon2id in one of PLACES, with the least that OWASP recommends.

    Of its equally strong choices that is the one of the least memory: 19 MiB for each place, so as many times as there
    are cores or workers, whichever is more. A place is one core, so there is nothing to do in parallel.
    """

    time_cost = 2
    memory_cost = 19 * 1024  # in KiB
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        """Return the hash as Django stores it; raises HashingBusyError."""
        with in_line(), _places:
            _note(self.algorithm)
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        """Tell whether this is the password; raises HashingBusyError."""
        with in_line(), _places:
            _note(self.algorithm)
            return super().verify(password, encoded)


class PBKDF2PasswordHasher(hashers.PBKDF2PasswordHasher):
    """Django's own, in one of PLACES, for hashes of older versions. All that it does with a password comes here."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        """Return the hash as Django stores it; raises HashingBusyError."""
        with in_line(), _places:
            _note(self.algorithm)
            return super().encode(password, salt, iterations)


def _note(algorithm: Any) -> None:
    _thread.algorithms.add(algorithm)


@sensitive_variables()
def take_as_long_as_others(password: str) -> None:
    """Hash a wrong password by all that accounts' are hashed by, but for what was done since this thread is in line."""
    done, preferred = set(getattr(_thread, "algorithms", ())), hashers.get_hasher()
    for hasher in hashers.get_hashers() if done else ():
        of_old_ones = get_user_model().objects.filter(password__startswith=f"{hasher.algorithm}$")
        if hasher.algorithm not in done and (hasher is preferred or of_old_ones.exists()):
            hasher.encode(password, hasher.salt())


class HashingPlacesMiddleware(Middleware):
    """Answer 503 to a request that found no place for its password; nothing has been done for it."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, HashingBusyError):
            return None
        logger.warning("[SIGN_IN] busy: no place to hash a password, address=%s", request.META.get("REMOTE_ADDR"))
        message = "Too many passwords are being checked just now. Nothing was done. Try again in a few seconds."
        return error_response(request, 503, message, retry_after_s=RETRY_AFTER_S)
