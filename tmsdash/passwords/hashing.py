"""A limit on hashing passwords, each of which takes a core for as long as a whole page does.

Hashing is slow on purpose, and anybody can ask for it. Whatever hashes, page or command, does so in one of PLACES, this
worker's share of the cores. WAITING more requests may line up for them; the others are told at once to come back, so
that strangers who try to sign in never take the threads of those who are signed in.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.contrib.auth import hashers
from django.http import HttpRequest, HttpResponse

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
    _thread.is_in_line = True
    try:
        yield
    finally:
        _thread.is_in_line = False
        _line.release()


class PBKDF2PasswordHasher(hashers.PBKDF2PasswordHasher):
    """Django's own, in one of PLACES. Checking a password, and hardening or upgrading its hash, all come here."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        """Return the hash as Django stores it; raises HashingBusyError."""
        with in_line(), _places:
            return super().encode(password, salt, iterations)


class HashingPlacesMiddleware(Middleware):
    """Answer 503 to a request that found no place for its password; nothing has been done for it."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, HashingBusyError):
            return None
        logger.warning("[SIGN_IN] busy: no place to hash a password, address=%s", request.META.get("REMOTE_ADDR"))
        message = "Too many passwords are being checked just now. Nothing was done. Try again in a few seconds."
        return error_response(request, 503, message, retry_after_s=RETRY_AFTER_S)
