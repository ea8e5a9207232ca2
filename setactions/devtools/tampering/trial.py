"""The trial: each way of tampering on an installation of its own, and what `audit_verify` says of it."""

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from setactions.devtools.proofs.site import ProofError
from setactions.devtools.tampering.installation import Ending, Installation
from setactions.devtools.tampering.stranger import KeyHolder
from setactions.devtools.tampering.way import Way
from setactions.devtools.tampering.ways import GROUPS

FIRST_WORDS = 150
# What somebody may run next. Each may refuse or go on, as long as it says so in words.
NEXT = (
    ("audit_seal",),
    ("audit_keys",),
    ("audit_export", "--output", "/dev/null"),
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

    def as_json(self) -> dict[str, Any]:
        return {
            "group": self.group,
            "way": self.way.name,
            "code": self.ending.code,
            "said": self.ending.words[:FIRST_WORDS],
            "cannot_be_found": self.way.why_not,
            "surprises": self.surprises,
        }


def try_ways(folder: Path, *, is_short: bool, say: Callable[[str], None], names: Iterable[str] = ()) -> list[Trial]:
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
        return trials


def _try(installation: Installation, group: str, way: Way, *, is_short: bool) -> Trial:
    installation.reset()
    try:
        way.act(KeyHolder(installation))
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
