"""An id for each request: on its answer, on its error page and on every line that it logs."""

import secrets
from contextvars import ContextVar

HEADER = "X-Request-ID"
NONE = "-"  # outside of a request
_current: ContextVar[str] = ContextVar("request_id", default=NONE)


def begin() -> str:
    """Give what this thread logs from now on a new id, and return it.

    It stays after the answer: Django logs errors only then.
    """
    request_id = secrets.token_hex(8)
    _current.set(request_id)
    return request_id


def current() -> str:
    """Return the id of the request that is being answered, or "-" outside of one."""
    return _current.get()
