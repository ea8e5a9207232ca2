"""What holds for every account: who is an auditor, and under which name a sign-in is recorded."""

from typing import Any

from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

OPERATORS, AUDITORS = KNOWN_GROUPS = ("Operators", "Auditors")
UNKNOWN_NAME = "unknown:"  # before a hash; a user name cannot hold the colon
HASH_DIGITS = 32
LAST_UNKNOWN_NAME = UNKNOWN_NAME + "f" * HASH_DIGITS  # in the order of any database


def is_auditor(user: Any) -> bool:
    """Tell whether `user` is an auditor, who changes nothing, whatever else they are."""
    if not user.is_authenticated:
        return False
    group_names = getattr(user, "group_names", None)  # of an account that was read with its session
    return AUDITORS in group_names if group_names is not None else bool(user.groups.filter(name=AUDITORS).exists())


def recorded_name(typed: str) -> str:
    """Return the user name that was typed, or a keyed hash of it where nobody has that name.

    People type their password there by mistake. The hash distinguishes one repeated name from many names.
    """
    if get_user_model().objects.filter(username=typed).exists():
        return typed
    digest = salted_hmac("tmsdash.accounts.unknown", typed, algorithm="sha256").hexdigest()
    return UNKNOWN_NAME + digest[:HASH_DIGITS]


def throttled_name(request: HttpRequest, credentials: dict[str, Any] | None) -> str:
    """Return the name under which django-axes counts failures; it stores and logs it."""
    return recorded_name(str((credentials or request.POST).get("username") or ""))
