"""What every template can use."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from setactions.permissions import may_set_action


def permissions(request: HttpRequest) -> dict[str, Any]:
    """Give templates `may_set_action`, evaluated only where it is used, and how many seconds an idle session lasts."""
    return {
        "may_set_action": lambda: hasattr(request, "user") and may_set_action(request.user),
        "session_idle_s": settings.SESSION_IDLE_S,
    }
