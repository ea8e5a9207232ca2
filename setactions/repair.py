"""Reading TMS's refusal of a list back into the ids that it does not know."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

# As TMS writes it, in Python's list syntax (seen in production): those CIDs ['a', "b's"] do not exist
_BEGIN, _END = "those CIDs [", "] do not exist"
_NAME = r"""'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+\""""
_NAMES = re.compile(f"(?:{_NAME})(?:, ?(?:{_NAME}))*+")
_ESCAPED = re.compile(r"""\\(['"\\])""")
_ONE_NAME = re.compile(_NAME)


@dataclass(frozen=True)
class Repair:
    """A rejected list cut in two: the ids that TMS does not know, and the rest, both in the order sent."""

    unknown: tuple[str, ...]
    known: tuple[str, ...]


def find_repair(message: str, cids: Sequence[str]) -> Repair | None:
    """Return how the list that TMS refused with `message` can be repaired; None if the message names none of it."""
    start, end = message.find(_BEGIN), message.rfind(_END)
    listed = message[start + len(_BEGIN) : end]
    if start < 0 or end < start or not _NAMES.fullmatch(listed):
        return None  # cut short, or no list after all: the message itself is shown
    named = {_unquoted(name) for name in _ONE_NAME.findall(listed)}
    unknown = tuple(cid for cid in cids if cid in named)
    return Repair(unknown, tuple(cid for cid in cids if cid not in named)) if unknown else None


def _unquoted(name: str) -> str:
    # Python escapes what cannot be shown, too, but that is in no customer id.
    return _ESCAPED.sub(r"\1", name[1:-1])
