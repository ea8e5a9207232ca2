"""How Set Actions may be spelled. The actions themselves are in `audit.choices`."""

from audit.choices import Action

# Spellings seen in production beside the canonical names, all compared without case.
_ALIASES = {"tran-begin": Action.TRANS_BEGIN}
_BY_NAME = {action.label.lower(): action for action in Action} | _ALIASES


def find_action(name: str) -> Action | None:
    """Return the action that `name` spells in whatever case, or None."""
    return _BY_NAME.get(name.lower())
