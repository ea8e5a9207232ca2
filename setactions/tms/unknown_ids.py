"""Reading TMS's refusal of a list back into the ids that it does not know."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

# As TMS writes it, in Python's list syntax (seen in production): those CIDs ['a', "b's"] do not exist
_BEGIN, _END = "those CIDs [", "] do not exist"
# One name of the list, with what stands between it and the next. Possessive, and each looked for only where the one
# before ends: TMS's text may be anything, and must not keep the server busy.
_NAME = re.compile(r"""('(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+")(?:, ?(?=['"])|\Z)""")
_ESCAPED = re.compile(r"""\\(['"\\])""")


@dataclass(frozen=True)
class Repair:
    """A rejected list cut in two: the ids that TMS does not know, and the rest, both in the order sent."""

    unknown: tuple[str, ...]
    known: tuple[str, ...]


def find_repair(message: str, cids: Sequence[str]) -> Repair | None:
    """Return how the list that TMS refused with `message` can be repaired; None if the message names none of it."""
    start, end = message.find(_BEGIN), message.rfind(_END)
    named = set(_names_in(message[start + len(_BEGIN) : end])) if 0 <= start < end else set()
    unknown = tuple(cid for cid in cids if cid in named)
    return Repair(unknown, tuple(cid for cid in cids if cid not in named)) if unknown else None


def _names_in(listed: str) -> list[str]:
    """Return what a list names; nothing if it is cut short, or no list after all: then the message itself is shown."""
    names, place = [], 0
    while place < len(listed):
        name = _NAME.match(listed, place)
        if name is None:
            return []
        names.append(_unquoted(name[1]))
        place = name.end()
    return names


def _unquoted(name: str) -> str:
    # Python escapes what cannot be shown, too, but that is in no customer id.
    return _ESCAPED.sub(r"\1", name[1:-1])
