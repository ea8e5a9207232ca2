"""What a look at a site came to, and what a witness remembers of earlier ones beside its checkpoints."""

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from audit.transparency.notes import Checkpoint
from setactions.operations.notifications import events, outbox
from setactions.operations.notifications.events import Event

TAKEN, SAME, STALE = "taken", "nothing new", "nothing new for long"
UNASKED, UNPROVEN, REWRITTEN = "not asked", "not proven", "rewritten"
CODES = {TAKEN: 0, SAME: 0, STALE: 0, UNASKED: 1, UNPROVEN: 3, REWRITTEN: 3}
AGAIN_AFTER = timedelta(days=1)  # that people are told once more of what has not changed
# That people are told of a site that cannot be asked, or shows the same all the time: it may hide something.
SILENT_AFTER = timedelta(days=1)
_KINDS = {
    REWRITTEN: events.REWRITTEN,
    UNPROVEN: events.UNPROVEN,
    UNASKED: events.SILENT,
    STALE: events.SILENT,
}


@dataclass(frozen=True)
class Outcome:
    """How a look ended, in a word and in a sentence or two; `shown` is the site's checkpoint if it was taken."""

    word: str
    sentence: str
    shown: Checkpoint | None = None

    @property
    def code(self) -> int:
        """The exit code."""
        return CODES[self.word]


@dataclass(frozen=True)
class Memory:
    """When the site was last asked with success, or first without, and of what people were last told. Times are ISO."""

    succeeded_at: str = ""
    first_at: str = ""
    told: str = ""
    told_at: str = ""

    @classmethod
    def read(cls, path: Path) -> "Memory":
        """Return what a file holds; nothing if it cannot be read or holds something else: people are told once more."""
        try:
            values = {name: str(value) for name, value in json.loads(path.read_text(encoding="utf-8")).items()}
            memory = cls(**values)
            for text in (memory.succeeded_at, memory.first_at, memory.told_at):
                _ = datetime.fromisoformat(text) if text else None
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return cls()
        return memory

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    def after(self, outcome: Outcome, at: datetime) -> "Memory":
        """Return what is to be remembered after a look, before anybody is told."""
        now = at.isoformat()
        after = replace(self, first_at=self.first_at or now)
        if outcome.code == 0:
            after = replace(after, succeeded_at=now)
        return after if outcome.word in _KINDS else replace(after, told="", told_at="")

    def is_due(self, outcome: Outcome, at: datetime) -> bool:
        """Tell whether people are to be told of an outcome now."""
        if outcome.word not in _KINDS:
            return False
        if outcome.word == UNASKED and not _is_past(self.succeeded_at or self.first_at, SILENT_AFTER, at):
            return False
        return self.told != outcome.word or _is_past(self.told_at, AGAIN_AFTER, at)


def tell(memory: Memory, outcome: Outcome, url: str, at: datetime) -> tuple[Memory, dict[str, str]]:
    """Tell people of what is due; return what is to be remembered, and why each channel did not take it."""
    if not memory.is_due(outcome, at) or not outbox.channels():
        return memory, {}
    facts: dict[str, Any] = {"outcome": outcome.word, "site": url}
    event = Event(_KINDS[outcome.word], f"Audit of {url}: {outcome.sentence}", "", facts)
    problems = {channel: problem for channel, problem in outbox.send_at_once(event, at, url).items() if problem}
    if problems:
        return memory, problems  # the next look tries again
    return replace(memory, told=outcome.word, told_at=at.isoformat()), {}


def _is_past(text: str, after: timedelta, at: datetime) -> bool:
    return not text or abs(at - datetime.fromisoformat(text)) >= after
