"""What every template can use."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from setactions.permissions import may_set_action
from tmsdash.web.sessions import time_left


def permissions(request: HttpRequest) -> dict[str, Any]:
    """Give templates `may_set_action`, evaluated only where it is used, and how many seconds the session lasts."""
    return {
        "may_set_action": lambda: hasattr(request, "user") and may_set_action(request.user),
        "session_idle_s": settings.SESSION_IDLE_S,
        "session_left_s": lambda: round(time_left(request).seconds) if hasattr(request, "session") else 0,
    }
