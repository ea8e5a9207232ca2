"""What every template can use."""

from contextlib import suppress
from typing import Any

from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.http import HttpRequest

from setactions.permissions import may_set_action
from setactions.resolving.queue import count_in_words
from tmsdash.db.transactions import drop_if_broken
from tmsdash.web.sessions import time_left


def permissions(request: HttpRequest) -> dict[str, Any]:
    """Give templates `may_set_action` and `in_doubt_count`, and how many seconds an idle session and this one last.

    The first two are evaluated only where they are used. The count is "" without the database, too.
    """
    return {
        "may_set_action": lambda: hasattr(request, "user") and may_set_action(request.user),
        "in_doubt_count": lambda: _in_doubt_count(request) if hasattr(request, "user") else "",
        "session_idle_s": settings.SESSION_IDLE_S,
        "session_left_s": lambda: round(time_left(request).seconds) if hasattr(request, "session") else 0,
    }


def _in_doubt_count(request: HttpRequest) -> str:
    with suppress(AnyDatabaseError), drop_if_broken("audit"):
        return count_in_words(request.user)
    return ""
