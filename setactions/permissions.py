"""Who may trigger Set Actions."""

from typing import Any

AUDITORS = "Auditors"


def may_set_action(user: Any) -> bool:
    """Tell whether `user` is active, has `jobs.set_action`, and is no auditor, whatever else they are."""
    if not user.is_active or not user.has_perm("jobs.set_action"):
        return False
    return not user.groups.filter(name=AUDITORS).exists()
