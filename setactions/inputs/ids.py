"""What a customer id is, what looks unusual about one, and lists of ids from JSON."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from setactions.inputs.problems import Problems
from setactions.refusal import Refusal
from tmsdash.text import counted
from tmsdash.tokens import looks_like_token

MAX_LENGTH = 128
MAX_IDS = 200_000  # in one list: more than any call may carry, even with repeats
FIELD = "cids"
EMPTY = "The list is empty. Give at least one customer id."

DAMAGED, FORMULA, UNUSUAL = "damaged by a spreadsheet", "like a spreadsheet formula", "unusual for a customer id"

_FORBIDDEN = (
    "The customer id holds {}, which no customer id may hold. Take it out; if these are several ids, list them one by "
    "one."
)
_PLAIN = re.compile(r"[!-+\--:<-~]{1,128}")  # visible ASCII without comma and semicolon
_PLAIN_LINES = re.compile(rf"{_PLAIN.pattern}(\n{_PLAIN.pattern})*")
_USUAL = re.compile(r"[0-9a-fA-F]{32}|[0-9]{7}")
_DAMAGED = re.compile(r"[0-9]+(\.[0-9]+)?E\+?[0-9]+|[0-9]+\.[0-9]+|#[A-Z/0]+[!?]?", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-fA-F]+")
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last four in full width, as in East Asia


@dataclass(frozen=True)
class CidList:
    """Ids in the order given, each once, how many repeats were left out, and what else is to be said of the list."""

    cids: tuple[str, ...]
    repeated: int
    notes: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What looks unusual about the list, in sentences."""
        return (*self.notes, *_warnings(self.cids))


def from_json(value: Any) -> CidList:
    """Take a JSON list of strings and integers, untrimmed.

    Raises Refusal (400 naming the items that are wrong, 413 far too long).
    """
    if not isinstance(value, list):
        raise Refusal(400, FIELD, "cids must be a list of customer ids.")
    check_length(len(value))
    problems = Problems("Item")
    if not value:
        problems.add(0, EMPTY)
    if not _are_all_plain(value):
        value = [str(item) if type(item) is int else item for item in value]
        for number, item in enumerate(value, start=1):
            if not is_allowed(item):
                problems.add(number, *problem_of(item))
    refuse(problems)
    cids = tuple(dict.fromkeys(value))
    return CidList(cids, len(value) - len(cids))


def check_length(count: int) -> None:
    """Refuse (413) what would keep the server busy for seconds, only to be refused as too long in the end."""
    if count > MAX_IDS:
        raise Refusal(413, FIELD, f"The list has more than {MAX_IDS:,} ids or lines. Split it into smaller ones.")


def refuse(problems: Problems) -> None:
    """Raise Refusal (400) if there are problems."""
    if problems.count:
        raise Refusal(400, FIELD, *problems)


def _are_all_plain(items: list[Any]) -> bool:
    """Tell whether nothing has to be looked at one by one: a fleet's ids take a millisecond instead of fifty."""
    if set(map(type, items)) != {str}:
        return False
    joined = "\n".join(items)
    is_plain = _PLAIN_LINES.fullmatch(joined) is not None and joined.count("\n") == len(items) - 1
    return is_plain and not looks_like_token(joined)


def is_allowed(cid: Any) -> bool:
    """Tell whether `cid` can be a customer id."""
    return (
        isinstance(cid, str)
        and 1 <= len(cid) <= MAX_LENGTH
        and (_PLAIN.fullmatch(cid) is not None or not _holds_forbidden(cid))
        and not ("." in cid and looks_like_token(cid))
    )


def problem_of(cid: Any) -> tuple[str, str]:
    """Return why `cid`, which is not allowed, can be no id: a sentence and its detail, as `Problems.add` takes them.

    The id is not quoted: it may be a misplaced secret.
    """
    if not isinstance(cid, str):
        return "A customer id is text or a whole number, not {}.", _json_type(cid)
    if not cid:
        return "The customer id is missing. Add it, or take out the whole entry.", ""
    if looks_like_token(cid):
        return "This looks like a bearer token, not like a customer id. Take it out of the list.", ""
    if len(cid) > MAX_LENGTH:
        return f"A customer id has 1 to {MAX_LENGTH} characters, not {{}}.", f"{len(cid):,}"
    character = next(filter(_holds_forbidden, cid))
    name = unicodedata.name(character, "a control character").lower()
    return _FORBIDDEN, f"U+{ord(character):04X} ({name})"


def _holds_forbidden(text: str) -> bool:
    # What Python calls printable is all but the Unicode classes C and Z, and the space.
    return not text.isprintable() or " " in text or "," in text or ";" in text


def shape_of(cid: str) -> str:
    """Return what an id looks like that is not of a usual shape: DAMAGED, FORMULA or UNUSUAL; else nothing."""
    if _USUAL.fullmatch(cid):
        return ""
    if _DAMAGED.fullmatch(cid):
        return DAMAGED
    return FORMULA if cid.startswith(_FORMULA) else UNUSUAL


def _json_type(value: Any) -> str:
    names = {bool: "true or false", float: "a number with a fraction", type(None): "null", list: "a list"}
    return names.get(type(value), "an object")


def _warnings(cids: Sequence[str]) -> Iterator[str]:
    not_usual = [(cid, shape) for cid in cids if (shape := shape_of(cid))]
    for kind in (DAMAGED, FORMULA, UNUSUAL):
        if odd := [cid for cid, shape in not_usual if shape == kind]:
            hexadecimal = sum(1 for cid in odd if _HEX.fullmatch(cid)) if kind == UNUSUAL else 0
            note = f" ({hexadecimal:,} hexadecimal, but not of 32 characters)" if hexadecimal else ""
            yield f"{counted(len(odd), 'id')} {'looks' if len(odd) == 1 else 'look'} {kind}{note}: {_some(odd)}."
    folded = Counter(map(str.lower, cids))
    twins = [cid for cid in cids if folded[cid.lower()] > 1]
    if twins:
        yield f"{len(twins):,} ids differ only by upper and lower case: {_some(twins)}."


def _some(cids: list[str]) -> str:
    return ", ".join(cids[:10]) + (" …" if len(cids) > 10 else "")
