"""The trial: each way of tampering on an installation of its own, and what `audit_verify` says of it."""

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from setactions.devtools.proofs.site import ProofError
from setactions.devtools.tampering.forger import Forger
from setactions.devtools.tampering.installation import Ending, Installation
from setactions.devtools.tampering.way import Way
from setactions.devtools.tampering.ways import GROUPS

FIRST_WORDS = 110
# What somebody may run next. Each may refuse or go on, as long as it says so in words.
NEXT = (
    ("audit_seal",),
    ("audit_keys",),
    ("audit_export",),
    ("audit_archive", "--before", "2020-01-01"),
    ("reconcile", "--full"),
)
ENDS = (0, 1, 2, 3)


@dataclass(frozen=True)
class Trial:
    """A way that was tried, how `audit_verify` ended, and sentences about what should not have been."""

    group: str
    way: Way
    ending: Ending
    surprises: list[str]

    @property
    def said(self) -> str:
        """The first finding, or what was said in place of one."""
        words = self.ending.words
        return words.partition("chunks. ")[2][:FIRST_WORDS] or words[:FIRST_WORDS]

    def as_json(self) -> dict[str, Any]:
        return {
            "group": self.group,
            "way": self.way.name,
            "code": self.ending.code,
            "said": self.said,
            "cannot_be_found": self.way.why_not,
            "surprises": self.surprises,
        }


@dataclass(frozen=True)
class Trials:
    """All that was tried."""

    trials: list[Trial]

    @property
    def passed(self) -> bool:
        """Whether everything ended as it has to."""
        return not any(trial.surprises for trial in self.trials)

    def as_json(self) -> dict[str, Any]:
        return {"passed": self.passed, "ways": [trial.as_json() for trial in self.trials]}

    def as_table(self) -> str:
        """Return a line for each way, what cannot be found with its reason, and surprises."""
        lines = []
        for group, trials in groupby(self.trials, attrgetter("group")):
            lines += ["", f"{group[0].upper()}{group[1:]}"]
            lines += [f"  {trial.ending.code}  {trial.way.name:54} {trial.said}" for trial in trials]
        lines += ["", "What cannot be found"]
        lines += [f"  {trial.way.name}: {trial.way.why_not}" for trial in self.trials if trial.way.why_not]
        found = sum(not trial.way.why_not for trial in self.trials)
        lines += ["", f"{len(self.trials)} ways, {found} of which have to be found."]
        lines += [f"SURPRISE  {trial.way.name}: {text}" for trial in self.trials for text in trial.surprises]
        return "\n".join(lines)


def try_ways(folder: Path, *, is_short: bool, say: Callable[[str], None], names: Iterable[str] = ()) -> Trials:
    """Build an installation in `folder`, which is empty, and try all ways on it, or those of `names`.

    The short form only runs `audit_verify`; the long one whatever somebody may run next, too. Raises ProofError.
    """
    chosen = {*names}
    with Installation(folder) as installation:
        installation.build()
        say("The installation is built.")
        trials = []
        for group, ways in GROUPS.items():
            tried = [way for way in ways if not chosen or way.name in chosen]
            trials += [_try(installation, group, way, is_short=is_short) for way in tried]
            say(f"{group}: {len(tried)} ways")
        return Trials(trials)


def _try(installation: Installation, group: str, way: Way, *, is_short: bool) -> Trial:
    installation.reset()
    try:
        way.act(Forger(installation))
    except (sqlite3.Error, OSError, ValueError) as error:
        raise ProofError(f"{way.name}: {error}") from error
    options = [option.format(kept=installation.kept) for option in way.options]
    ending = installation.run("audit_verify", "--jobs", *options)
    surprises = [*_surprises(way, ending)]
    for command in () if is_short else NEXT:
        after = installation.run(*command)
        if after.is_traceback or after.code not in ENDS:
            surprises.append(f"{command[0]} ended with {after.code}: {after.output[-1_000:]}")
    return Trial(group, way, ending, surprises)


def _surprises(way: Way, ending: Ending) -> Iterable[str]:
    if ending.is_traceback:
        yield f"a traceback: {ending.output[-1_500:]}"
    elif ending.code != way.expected_code:
        yield f"exit code {ending.code}, not {way.expected_code}: {ending.words[:500]}"
    elif way.says not in ending.output:
        yield f"it does not say {way.says!r}: {ending.words[:500]}"
