"""What the runbook says of a message, as templates/app_status/_explained.html shows it."""

from dataclasses import dataclass

from jobs.app_status.runbook import Runbook, is_safe_link
from jobs.models import RunbookEntry


@dataclass(frozen=True)
class Explanation:
    """What the runbook says of a message."""

    entry: RunbookEntry

    @property
    def link(self) -> str:
        return self.entry.link if is_safe_link(self.entry.link) else ""


def explained(runbook: Runbook, message: str) -> Explanation | None:
    """Return what the runbook says of a message, or None."""
    entry = runbook.explain(message)
    return Explanation(entry) if entry else None
