"""`/health`: whether the dashboard works, for load balancers; what is open, for staff; what is wrong, for scrapers."""

import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import Error as AnyDatabaseError
from django.db import connections, transaction
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache

from audit import chain
from audit.selectors import count_open
from jobs import services as jobs
from setactions.operations.degraded import reasons
from setactions.operations.scrapers import has_metrics_token
from tmsdash.db import clock
from tmsdash.db.transactions import assert_disk_has_room, drop_if_broken, ensure_own_file, write_transaction
from tmsdash.models import Session
from tmsdash.web.errors import json_get

logger = logging.getLogger(__name__)

WRITABLE_FOR_S = 1.0  # seconds that a proof holds, for everybody who asks this process
# As long as a Set Action waits: a database counts as not writable when it would make us refuse an action.
WRITE_WAIT_S = 5.0


@never_cache
@json_get
@login_not_required
def health(request: HttpRequest) -> JsonResponse:
    """Tell whether all three databases answer and take writes; 503 names the others. Staff also see what is open.

    That is how many attempts are open, and the age of the oldest one in seconds (0 if there is none). Whoever presents
    METRICS_TOKEN is told "degraded", with sentences, if it works and somebody should look at something all the same.
    """
    silent = [alias for alias in connections if not _succeeds(_read, alias, "does not answer")]
    # A stand-by writes nothing, and its databases may be copies that nobody can write to.
    asked = [] if settings.TMS_PASSIVE else [alias for alias in connections if alias not in silent]
    read_only = [alias for alias in asked if not _proofs[alias].holds()]
    is_healthy = not (silent or read_only)
    body: dict[str, Any] = {"status": "healthy" if is_healthy else "unhealthy", "service": "TMS Dashboard"}
    if not is_healthy:
        body["databases"] = ", ".join([*silent, *read_only])
    if read_only:
        body["read_only"] = ", ".join(read_only)
    if is_healthy and request.user.is_staff:
        count, oldest = count_open()
        age_s = (clock.now("audit") - oldest).total_seconds() if oldest else 0
        body |= {"open_attempts": count, "oldest_open_s": max(0, round(age_s))}
    if is_healthy and has_metrics_token(request) and (sentences := reasons()):
        body |= {"status": "degraded", "reasons": sentences}
    return JsonResponse(body, status=200 if is_healthy else 503)


def _succeeds(access: Callable[[str], None], alias: str, problem: str) -> bool:
    """Tell whether a database can be accessed; if not, the log has the problem."""
    try:
        with drop_if_broken(alias):
            access(alias)
    except AnyDatabaseError as error:
        logger.error("[HEALTH] database %s %s: %s", alias, problem, error)
        return False
    return True


def _read(alias: str) -> None:
    connection = connections[alias]
    ensure_own_file(connection)  # an open connection would go on reading a file that was moved away
    with connection.cursor() as cursor:
        # A table, because SQLite answers "SELECT 1" from a file that it has just made.
        cursor.execute("SELECT 1 FROM django_migrations LIMIT 1")


class _WriteProof:
    """The result of the last attempt to write to a database. One thread at a time tries: nobody queues for a lock."""

    def __init__(self, alias: str, write: Callable[[float], None]) -> None:
        self._alias = alias
        self._write = write
        self._turn = threading.Lock()
        self._is_writable = True  # until the first try has ended
        self._ended_at = float("-inf")

    def holds(self) -> bool:
        """Tell whether the database accepts writes, as of now or of the try before."""
        if time.monotonic() - self._ended_at > WRITABLE_FOR_S and self._turn.acquire(blocking=False):
            try:
                self._is_writable = _succeeds(self._access, self._alias, "cannot be written")
                self._ended_at = time.monotonic()
            finally:
                self._turn.release()
        return self._is_writable

    def _access(self, alias: str) -> None:
        assert_disk_has_room(alias)
        self._write(WRITE_WAIT_S)


def _write_session(wait_s: float) -> None:
    """Raise DatabaseError unless a session could begin now; it is rolled back."""
    with write_transaction("default", wait_s):
        Session(session_key=uuid.uuid4().hex, expire_date=timezone.now()).save(using="default", force_insert=True)
        transaction.set_rollback(True, using="default")


_proofs = {
    "default": _WriteProof("default", _write_session),
    "jobs": _WriteProof("jobs", jobs.prove_writable),
    "audit": _WriteProof("audit", chain.assert_writable),
}
