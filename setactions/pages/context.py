"""What every template may ask about the user."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from setactions.permissions import may_set_action


def permissions(request: HttpRequest) -> dict[str, Any]:
    """Offer `may_set_action` to templates, asked only where it is used, and the seconds that an idle session lasts."""
    return {
        "may_set_action": lambda: hasattr(request, "user") and may_set_action(request.user),
        "session_idle_s": settings.SESSION_IDLE_S,
    }
