"""Anchors, for `audit_verify` to compare the audit with: those that a person kept, and those in the log.

An anchor that matches proves something, and one that does not accuses somebody. So of a log only those lines count
that the audit's own logger wrote:

1. They begin with [AUDIT], which no text from outside can do (see tmsdash.logs). Of a line that is a JSON object (see
   tmsdash.json_logs) that holds for its message, and its logger is one of the audit's.
2. They are whole, from the first byte to the last. What somebody gets into the middle of a line, such as the address of
   a page that was not found, is no anchor.
"""

import re
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from audit.chain import ANCHOR_DIGITS
from audit.choices import Kind
from audit.proof.walk import Point
from tmsdash import strict_json

_KEPT = re.compile(rf"([0-9]{{1,18}}):([0-9a-f]{{{ANCHOR_DIGITS},64}})")
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ANCHOR = rf"anchor=([0-9]{{1,18}}):([0-9a-f]{{{ANCHOR_DIGITS}}})"
_ADDED = rf"(?:{'|'.join(Kind.values)})(?: {_UUID})?: {_ANCHOR}"
_SEALED = rf"SEALED: number=[0-9]{{1,18}}, {_ANCHOR}, signature=[0-9a-f]{{64}}"
_MESSAGE = rf"\[AUDIT\] (?:{_ADDED}|{_SEALED})"
# In bytes, and ended by \n alone: other characters that end a line for some programs may come from outside.
_LINE = re.compile(rf"{_MESSAGE} \[INFO [^\[\]\r\n]{{1,80}}\]\r?\n?".encode("ascii"))
_JSON_MESSAGE = re.compile(_MESSAGE.encode("ascii"))


class NoAnchorError(Exception):
    """A text is no anchor, or a log holds none or cannot be read. The text says so, as a sentence."""


def kept_anchor(text: str) -> Point:
    """Return the anchor that a person kept, `SEQUENCE:MAC`; raises NoAnchorError if the text is none."""
    match = _KEPT.fullmatch(text.strip().lower())
    if not match:
        raise NoAnchorError(f"--anchor {text}: write SEQUENCE:MAC, such as 17:0123456789abcdef.")
    return Point(int(match[1]), match[2], f"the anchor {match[0]}")


def logged_anchors(name: str) -> list[Point]:
    """Return each anchor of a log once; `-` is standard input. Raises NoAnchorError if there is none."""
    try:
        with nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb") as file:
            points = _points_of(file, "standard input" if name == "-" else name)
    except OSError as error:
        raise NoAnchorError(f"{name} cannot be read: {error.strerror}.") from None
    if not points:
        raise NoAnchorError(
            f"{name} holds no anchor. Only lines that begin with [AUDIT], or are JSON as the audit logs it, count, so "
            "whatever collects the log must put nothing before them (journalctl -o cat)."
        )
    return points


def _points_of(lines: Iterable[bytes], name: str) -> list[Point]:
    points: dict[tuple[int, str], Point] = {}
    for number, line in enumerate(lines, start=1):
        if match := _anchor_in(line):
            sequence, mac = (group.decode("ascii") for group in match.groups() if group)
            key = int(sequence), mac
            points.setdefault(key, Point(*key, f"the anchor {sequence}:{mac} of line {number:,} of {name}"))
    return list(points.values())


def _anchor_in(line: bytes) -> Any:
    """Return the match of a line with sequence and mac among its groups; None if it is not wholly the audit's."""
    if line.startswith(b"{") and b"[AUDIT]" in line:
        return _JSON_MESSAGE.fullmatch(_message_of(line).encode(errors="replace"))
    return _LINE.fullmatch(line) if line.startswith(b"[AUDIT]") else None


def _message_of(line: bytes) -> str:
    """Return the message of a JSON line that the audit's own logger wrote, else ""."""
    try:
        record = strict_json.loads(line)
    except ValueError:
        return ""
    facts = [str(record.get(name, "")) for name in ("logger", "level", "message")] if isinstance(record, dict) else []
    return facts[2] if facts and facts[0].startswith("audit.") and facts[1] == "INFO" else ""
