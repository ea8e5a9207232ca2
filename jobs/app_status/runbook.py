"""What messages of TMS and reasons of apps mean, as administrators have written it down.

A pattern matches a message that contains its text, in any case; `*` in it stands for anything. There is nothing else
that an administrator could write, and so nothing that takes long: the parts of a pattern are looked for one after the
other, each behind the one before.
"""

from collections.abc import Sequence
from contextlib import suppress

from django.db import Error as AnyDatabaseError

from jobs.models import RunbookEntry
from tmsdash.db.transactions import drop_if_broken

SHORTEST = 3  # characters that a pattern has besides its stars: fewer are in every message
MESSAGE_LENGTH = 4000  # of which a pattern is looked for
SCHEMES = ("http", "https")


class Runbook:
    """The entries as they are now, in the order in which they count."""

    def __init__(self, entries: Sequence[RunbookEntry]) -> None:
        self._entries = entries

    def explain(self, message: str) -> RunbookEntry | None:
        """Return the first entry that matches a message, or None."""
        folded = message[:MESSAGE_LENGTH].casefold()
        return next((entry for entry in self._entries if matches(entry.pattern, folded)), None) if folded else None


def runbook() -> Runbook:
    """Return the runbook. It is empty while the database cannot be read: pages are worth something without it."""
    entries: list[RunbookEntry] = []
    with suppress(AnyDatabaseError), drop_if_broken("jobs"):
        entries = list(RunbookEntry.objects.all())
    return Runbook(entries)


def matches(pattern: str, folded: str) -> bool:
    """Tell whether a pattern matches a message whose case is folded."""
    begin = 0
    for part in filter(None, pattern.casefold().split("*")):
        place = folded.find(part, begin)
        if place < 0:
            return False
        begin = place + len(part)
    return begin > 0  # a pattern of nothing but stars matches nothing


def is_safe_link(link: str) -> bool:
    """Tell whether a link may stand on a page: a browser runs what others hold."""
    return link.lower().startswith(tuple(f"{scheme}://" for scheme in SCHEMES))
