"""`/health`: whether the dashboard works, for load balancers, and what it left open, for its staff."""

import logging
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import Error, OperationalError, connections
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache

from audit.selectors import count_open
from tmsdash.databases import file_is_there
from tmsdash.errors import json_get

logger = logging.getLogger(__name__)


@never_cache
@json_get
@login_not_required
def health(request: HttpRequest) -> JsonResponse:
    """Tell whether all three databases answer; 503 names those that do not. Staff also see what is open."""
    silent = [alias for alias in connections if not _answers(alias)]
    status = "unhealthy" if silent else "healthy"
    body: dict[str, Any] = {"status": status, "service": "TMS Dashboard"}
    if silent:
        body["databases"] = ", ".join(silent)
    elif request.user.is_staff:
        body |= _open_attempts()
    return JsonResponse(body, status=503 if silent else 200)


def _open_attempts() -> dict[str, int]:
    """Return how many attempts are open, and the age of the oldest one in seconds (0 if there is none)."""
    count, oldest = count_open()
    age_s = (timezone.now() - oldest).total_seconds() if oldest else 0
    return {"open_attempts": count, "oldest_open_s": round(age_s)}


def _answers(alias: str) -> bool:
    connection = connections[alias]
    try:
        connection.close()  # an open one would go on reading a file that was moved away
        if not file_is_there(connection):
            raise OperationalError("its file is gone")
        with connection.cursor() as cursor:
            # A table, because SQLite answers "SELECT 1" from a file that it has just made.
            cursor.execute("SELECT 1 FROM django_migrations LIMIT 1")
    except Error as error:
        logger.error("[HEALTH] database %s does not answer: %s", alias, error)
        connection.close()
        return False
    return True
