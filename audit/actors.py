"""Who does something, and from where."""

from dataclasses import dataclass

from django.http import HttpRequest


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who does something, and from where; of an attempt's events only if that is not as the attempt says."""

    user_id: str
    ip_address: str = ""


def actor_of(request: HttpRequest, user_id: str | None = None) -> Actor:
    """Return who sent the request, under another name where nobody is signed in yet."""
    return Actor(user_id=user_id or request.user.get_username(), ip_address=request.META.get("REMOTE_ADDR", ""))
