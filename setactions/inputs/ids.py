"""What a customer id is, what is said of ids that look unusual or damaged, and lists of ids from JSON."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from setactions.inputs.problems import Problems
from setactions.inputs.shapes import is_damaged, shape_of
from setactions.refusal import Refusal
from tmsdash.text import counted
from tmsdash.tokens import looks_like_token

MAX_LENGTH = 128
MAX_IDS = 200_000  # in one list: more than any call may carry, even with repeats
FIELD = "cids"
EMPTY = "The list is empty. Give at least one customer id."

# How somebody gives their word, on each way that lists take, that ids which look damaged are ids all the same.
TAKE_DAMAGED = "Take ids that look damaged"  # the label of the tick
BY_TICK = f"tick “{TAKE_DAMAGED}” below"
BY_OPTION = "give --allow-unusual"
BY_KEY = 'say "allowUnusual": true'

_FORBIDDEN = (
    "The customer id holds {}, which no customer id may hold. Take it out; if these are several ids, list them one by "
    "one."
)
_END_OF_DOS_FILE = "the end mark of a DOS file, Ctrl-Z"
_PLAIN = re.compile(r"[!-+\--:<-~]{1,128}")  # visible ASCII without comma and semicolon
_HEX = re.compile(r"[0-9a-fA-F]+")


@dataclass(frozen=True)
class CidList:
    """Ids in the order given, each once, how many repeats were left out, and what else is to be said of the list.

    `allow_unusual` tells that there are ids among them that look damaged, and that somebody gave their word for them.
    """

    cids: tuple[str, ...]
    repeated: int
    notes: tuple[str, ...] = ()
    allow_unusual: bool = False

    @property
    def warnings(self) -> tuple[str, ...]:
        """What looks unusual about the list, in sentences."""
        return (*self.notes, *_warnings(self.cids))


class DamagedIds(Refusal):
    """A list is refused that holds ids which look damaged. Whoever means these very ids may say so."""


def from_json(value: Any, *, allow_unusual: bool = False) -> CidList:
    """Take a JSON list of strings and integers, untrimmed; ids that look damaged only with `allow_unusual`.

    Raises Refusal (400 naming the items that are wrong, 413 far too long).
    """
    if not isinstance(value, list):
        raise Refusal(400, FIELD, "cids must be a list of customer ids.")
    check_length(len(value))
    problems = Problems("Item")
    if not value:
        problems.add(0, EMPTY)
    value, has_damage = [str(item) if type(item) is int else item for item in value], False
    for number, item in enumerate(value, start=1):
        if not is_allowed(item):
            problems.add(number, *problem_of(item))
        elif is_damaged(shape := shape_of(item)):
            has_damage = True
            if not allow_unusual:
                problems.add(number, damage_of(shape, BY_KEY))
    refuse(problems, has_damage=has_damage)
    cids = tuple(dict.fromkeys(value))
    return CidList(cids, len(value) - len(cids), allow_unusual=has_damage)


def check_length(count: int) -> None:
    """Refuse (413) what would keep the server busy for seconds, only to be refused as too long in the end."""
    if count > MAX_IDS:
        raise Refusal(413, FIELD, f"The list has more than {MAX_IDS:,} ids or lines. Split it into smaller ones.")


def refuse(problems: Problems, *, has_damage: bool) -> None:
    """Raise Refusal (400) if there are problems: DamagedIds if a word for damaged ids can solve some of them."""
    if problems.count:
        raise (DamagedIds if has_damage else Refusal)(400, FIELD, *problems)


def damage_of(shape: str, way: str) -> str:
    """Say what is wrong with an id of a damaged shape, without the id, and how to go on; `way` is such as BY_KEY."""
    return f"The id looks {shape}. Correct it at its source, one id at a time; if it really is an id, {way}."


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
    character = next(filter(_holds_forbidden, cid), None)
    if character is None:
        return f"A customer id has 1 to {MAX_LENGTH} characters, not {{}}.", f"{len(cid):,}"
    name = _END_OF_DOS_FILE if character == "\x1a" else unicodedata.name(character, "a control character").lower()
    return _FORBIDDEN, f"{name} (U+{ord(character):04X})"


def _holds_forbidden(text: str) -> bool:
    # What Python calls printable is all but the Unicode classes C and Z, and the space.
    return not text.isprintable() or " " in text or "," in text or ";" in text


def _json_type(value: Any) -> str:
    names = {bool: "true or false", float: "a number with a fraction", type(None): "null", list: "a list"}
    return names.get(type(value), "an object")


def _warnings(cids: Sequence[str]) -> Iterator[str]:
    by_shape: dict[str, list[str]] = {}
    for cid in cids:
        by_shape.setdefault(shape_of(cid), []).append(cid)
    for shape in sorted(by_shape.keys() - {""}, key=lambda shape: (not is_damaged(shape), shape)):
        odd = by_shape[shape]
        hexadecimal = 0 if is_damaged(shape) else sum(1 for cid in odd if _HEX.fullmatch(cid))
        note = f" ({hexadecimal:,} hexadecimal, but not of 32 characters)" if hexadecimal else ""
        yield f"{counted(len(odd), 'id')} {'looks' if len(odd) == 1 else 'look'} {shape}{note}: {_some(odd)}"
    folded = Counter(map(str.lower, cids))
    twins = [cid for cid in cids if folded[cid.lower()] > 1]
    if twins:
        yield f"{len(twins):,} ids differ only by upper and lower case: {_some(twins)}"


def _some(cids: list[str]) -> str:
    """Return the first of some ids, and what ends their sentence."""
    return ", ".join(cids[:10]) + (" …" if len(cids) > 10 else ".")
