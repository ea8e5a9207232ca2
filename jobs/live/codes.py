"""The codes by which a reading tells the state of a customer, and the words for them."""

from audit.choices import Action

NO_ACTION = 0  # stands for customers that get/action does not list: nothing was ever asked for them
UNREADABLE = -1  # stands for customers whose entry says nothing that can be relied on
UNREAD_IN_WORDS = "not read yet"  # of customers whom no reading shows


def state_name(code: int) -> str:
    """Return what stands for the state in lists and on pages, such as "PE-Enable"."""
    if code == NO_ACTION:
        return "not known to TMS"
    if code == UNREADABLE:
        return "not readable"
    return str(Action(code).label) if code in Action.values else f"action code {code}"
