"""Who may trigger Set Actions."""

from typing import Any

from setactions.refusal import Refusal
from tmsdash.accounts import is_auditor


def may_set_action(user: Any) -> bool:
    """Tell whether `user` is active, has `jobs.set_action`, and is no auditor, whatever else they are."""
    return user.is_active and user.has_perm("jobs.set_action") and not is_auditor(user)


class NotPermitted(Refusal):
    """The user may not trigger Set Actions."""

    def __init__(self) -> None:
        super().__init__(
            403, "user", "Your account may not trigger Set Actions. Ask an administrator for the permission."
        )


def check_may_set_action(user: Any) -> None:
    """Raise NotPermitted unless the user may trigger Set Actions."""
    if not may_set_action(user):
        raise NotPermitted
