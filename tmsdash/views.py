"""Views that belong to no app."""

import logging

from django.contrib.auth.decorators import login_not_required
from django.db import Error, connections
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

logger = logging.getLogger(__name__)


@never_cache
@require_safe
@login_not_required
def health(request: HttpRequest) -> HttpResponse:
    """Tell load balancers whether all three databases answer; 503 names those that do not."""
    silent = [alias for alias in connections if not _answers(alias)]
    status = "unhealthy" if silent else "healthy"
    body = {"status": status, "service": "TMS Dashboard"}
    if silent:
        body["databases"] = ", ".join(silent)
    return JsonResponse(body, status=503 if silent else 200)


def _answers(alias: str) -> bool:
    try:
        with connections[alias].cursor() as cursor:
            # A table, because SQLite answers "SELECT 1" from a file that it has just made.
            cursor.execute("SELECT 1 FROM django_migrations LIMIT 1")
    except Error as error:
        logger.error("[HEALTH] database %s does not answer: %s", alias, error)
        connections[alias].close()
        return False
    return True
