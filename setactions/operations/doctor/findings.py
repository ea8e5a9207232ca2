"""What the topics of `doctor` yield."""

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


class Level(enum.StrEnum):
    """How much a finding matters; only what is wrong makes `doctor` exit with 1."""

    WRONG = "wrong"
    NOTE = "worth knowing"


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be. `id` never changes; `mend` is a command, or a line of .env."""

    id: str
    sentence: str
    mend: str
    level: Level = Level.WRONG


@dataclass(frozen=True)
class Well:
    """Something that is as it should be, in a few words."""

    text: str


Findings = Iterator[Finding | Well]


@dataclass(frozen=True)
class Result:
    """What was found out about a topic: whether it was looked at, what is well there, and what is not."""

    topic: str
    looked: bool
    well: list[str]
    findings: list[Finding]

    @property
    def is_wrong(self) -> bool:
        return any(finding.level == Level.WRONG for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return it as `doctor --json` prints it."""
        findings = [
            {"id": finding.id, "level": finding.level.value, "sentence": finding.sentence, "mend": finding.mend}
            for finding in self.findings
        ]
        return {"topic": self.topic, "looked": self.looked, "well": self.well, "findings": findings}


def note(name: str, sentence: str, mend: str) -> Finding:
    """Return a finding that is worth knowing, and nothing more."""
    return Finding(name, sentence, mend, Level.NOTE)


Look = Callable[..., Findings]
