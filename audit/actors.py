"""Who acts, from where, and by which way: what every entry of the audit names."""

from dataclasses import dataclass

from django.http import HttpRequest

from audit.choices import Source
from tmsdash.commands import os_actor_name


@dataclass(frozen=True, kw_only=True)
class Actor:
    """`user_id` is a user's name, or the operating system's user and host where no user of the dashboard is involved.
    `source` is how an attempt arrives; other events have none. `run_by` is the operating system's user and host
    where a command acts for a user of the dashboard."""

    user_id: str
    ip_address: str = ""
    source: Source | None = None
    run_by: str = ""


def actor_of(request: HttpRequest, source: Source | None = None, *, user_id: str | None = None) -> Actor:
    """Return who sent the request; `user_id` names them where nobody is signed in yet."""
    name, address = user_id or request.user.get_username(), request.META.get("REMOTE_ADDR", "")
    return Actor(user_id=name, ip_address=address, source=source)


def command_actor() -> Actor:
    """Return who runs a command that acts for no user of the dashboard."""
    return Actor(user_id=os_actor_name())
