"""Reading TMS's refusal of a list back into the ids that it does not know."""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

# As TMS writes it: those CIDs ['a', 'b'] do not exist
_UNKNOWN_CIDS = re.compile(r"those CIDs (\[.*\]) do not exist", re.DOTALL)


@dataclass(frozen=True)
class Repair:
    """A rejected list cut in two: the ids that TMS does not know, and the rest, both in the order sent."""

    unknown: tuple[str, ...]
    known: tuple[str, ...]


def find_repair(message: str, cids: Sequence[str]) -> Repair | None:
    """Return how the list that TMS refused with `message` can be repaired; None if the message names none of it.

    The names stand in Python's list syntax (seen in production).
    """
    match = _UNKNOWN_CIDS.search(message)
    if match is None:
        return None
    try:
        named = ast.literal_eval(match[1])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None  # cut short, or not a list after all: the message itself is shown
    named = {name for name in named if isinstance(name, str)}
    unknown = tuple(cid for cid in cids if cid in named)
    return Repair(unknown, tuple(cid for cid in cids if cid not in named)) if unknown else None
