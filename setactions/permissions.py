"""Who may trigger Set Actions."""

from typing import Any

from setactions.refusal import Refusal

AUDITORS = "Auditors"


def may_set_action(user: Any) -> bool:
    """Tell whether `user` is active, has `jobs.set_action`, and is no auditor, whatever else they are."""
    if not user.is_active or not user.has_perm("jobs.set_action"):
        return False
    return not user.groups.filter(name=AUDITORS).exists()


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
