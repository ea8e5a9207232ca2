"""Customer ids: from text, from CSV files and from JSON to a list in which each stands once, in order."""

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from setactions.refusal import Refusal
from tmsdash.csv_text import from_cell
from tmsdash.tokens import looks_like_token

MAX_LENGTH = 128
MAX_ERRORS = 100  # shown at once
MAX_PLACES = 200_000  # where an id could stand, in one list: more than any call may carry, even with repeats
HEADERS = frozenset({"customer_id", "cust_id", "cid", "id"})
FIELD = "cids"

DAMAGED, FORMULA, UNUSUAL = "damaged by a spreadsheet", "like a spreadsheet formula", "unusual for a customer id"

_PLAIN = re.compile(r"[!-+\--:<-~]{1,128}")  # visible ASCII without comma and semicolon
_PLAIN_LINES = re.compile(rf"{_PLAIN.pattern}(\n{_PLAIN.pattern})*")
_USUAL = re.compile(r"[0-9a-fA-F]{32}|[0-9]{7}")
_DAMAGED = re.compile(r"[0-9]+(\.[0-9]+)?E\+?[0-9]+|[0-9]+\.[0-9]+|#[A-Z/0]+[!?]?", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-fA-F]+")
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last four in full width, as in East Asia


@dataclass(frozen=True)
class CidList:
    """Ids in the order given, each once, and how many repeats were left out."""

    cids: tuple[str, ...]
    repeated: int

    @property
    def warnings(self) -> tuple[str, ...]:
        """What looks unusual about the ids, in sentences."""
        return tuple(_warnings(self.cids))


def from_text(text: str) -> CidList:
    """Split on commas, semicolons, tabs and line ends, and trim.

    Raises Refusal (400 naming each bad line, 413 far too long).
    """
    _check_places(sum(map(text.count, ",;\t\r\n")))
    return _collect(_cells_of_text(text.removeprefix("\ufeff")))


def from_csv(content: bytes, agrees: Mapping[str, Callable[[str], bool]] = MappingProxyType({})) -> CidList:
    """Read an uploaded CSV file; raises Refusal (400, 413 far too long).

    `agrees` tells for columns that the ids do not come from whether their cells say what was chosen elsewhere.

    A header line names the column (customer_id, cust_id, cid or id). Without a header the file is
    one bare column, or one line of ids: several columns without a header might send names as ids.
    """
    text = _decode(content)
    _check_places(sum(map(text.count, ",;\t\r\n")))
    delimiter = next((mark for mark in "\t;," if mark in text.partition("\n")[0]), ",")
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise Refusal(400, FIELD, f"The file is not CSV ({error}). Save it as CSV UTF-8 again.") from None
    if not rows:
        return _collect([])
    header = [cell.strip().lower() for cell in rows[0][1]]
    columns = [number for number, name in enumerate(header) if name in HEADERS]
    if len(columns) > 1:
        raise Refusal(400, FIELD, "The file's header names more than one column of ids. Keep one of them.")
    if columns:
        _check_agree(header, rows[1:], agrees)
        return _collect((line, _cell(row[columns[0]])) for line, row in rows[1:] if len(row) > columns[0])
    if len(rows) > 1 and any(len([cell for cell in row if cell.strip()]) > 1 for _, row in rows):
        raise Refusal(
            400,
            FIELD,
            "The file has several columns and no header line that says which one holds the ids. "
            "Name that column customer_id, or upload it alone.",
        )
    return _collect((line, _cell(cell)) for line, row in rows for cell in row)


def _check_agree(
    header: list[str], rows: list[tuple[int, list[str]]], agrees: Mapping[str, Callable[[str], bool]]
) -> None:
    """Raise Refusal (400) if a column asks for something else than was chosen: it would be left unheard."""
    # Read once each: a header that repeats a name for the whole line would have every row read as often.
    if any(header.count(name) > 1 for name in agrees):
        raise Refusal(400, FIELD, "The file's header names a column twice. Keep one of each name.")
    for column, name in enumerate(header):
        agree = agrees.get(name)
        for line, row in rows if agree else ():
            cell = row[column].strip() if column < len(row) else ""
            if cell and agree and not agree(cell):
                raise Refusal(
                    400,
                    FIELD,
                    f"Line {line}: the column {name} names another {name} than is chosen here. Choose the same, or "
                    "split the file. Files for several are for the command set_action_batch.",
                )


def from_json(value: Any) -> CidList:
    """Take a JSON list of strings and integers, untrimmed.

    Raises Refusal (400 naming each bad place, 413 far too long).
    """
    if not isinstance(value, list):
        raise Refusal(400, FIELD, "cids must be a list of customer ids.")
    _check_places(len(value))
    if _are_all_plain(value):
        cids = tuple(dict.fromkeys(value))
        return CidList(cids, len(value) - len(cids))
    return _collect(((number, item) for number, item in enumerate(value, start=1)), unit="item")


def _check_places(count: int) -> None:
    """Refuse what would keep the server busy for seconds, only to be refused as too long in the end."""
    if count > MAX_PLACES:
        raise Refusal(413, FIELD, f"The list has more than {MAX_PLACES:,} places for ids. Cut it into smaller ones.")


def _are_all_plain(items: list[Any]) -> bool:
    """Tell whether nothing has to be looked at one by one: a fleet's ids take a millisecond instead of fifty."""
    if set(map(type, items)) != {str}:
        return False
    joined = "\n".join(items)
    is_plain = _PLAIN_LINES.fullmatch(joined) is not None and joined.count("\n") == len(items) - 1
    return is_plain and not looks_like_token(joined)


def _cells_of_text(text: str) -> Iterator[tuple[int, str]]:
    # Line ends as editors and spreadsheets write them; other Unicode "line ends" are forbidden characters.
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        for cell in re.split(r"[,;\t]", line):
            yield number, cell.strip(" ")


def _cell(text: str) -> str:
    return from_cell(text.strip())


def _decode(content: bytes) -> str:
    if content.startswith(b"PK\x03\x04"):
        raise Refusal(
            400, FIELD, "The file is a workbook or an archive, not CSV. Save it as CSV UTF-8 and upload it again."
        )
    problem = "The file is not text in UTF-8. Save it as CSV UTF-8 and upload it again."
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refusal(400, FIELD, problem) from None
    if "\0" in text:
        raise Refusal(400, FIELD, problem)
    return text


def _collect(cells: Iterable[tuple[int, Any]], unit: str = "line") -> CidList:
    """Check each cell, leave out repeats and (of text) empty cells; `unit` names what the numbers count."""
    seen: dict[str, None] = {}
    given = 0
    problems: list[str] = []
    problem_count = 0
    for number, cell in cells:
        if cell == "" and unit == "line":
            continue
        given += 1
        cid = str(cell) if type(cell) is int else cell
        if is_allowed(cid):
            seen[cid] = None
            continue
        problem_count += 1
        if problem_count <= MAX_ERRORS:
            problems.append(f"{unit.capitalize()} {number}: {problem_of(cid)}.")
    if problem_count > MAX_ERRORS:
        problems.append(f"These are the first {MAX_ERRORS} of {problem_count:,} problems.")
    if problems:
        raise Refusal(400, FIELD, *problems)
    if not seen:
        raise Refusal(400, FIELD, "There is no customer id. Give at least one.")
    return CidList(tuple(seen), given - len(seen))


def is_allowed(cid: Any) -> bool:
    """Tell whether `cid` can be a customer id."""
    return (
        isinstance(cid, str)
        and 1 <= len(cid) <= MAX_LENGTH
        and (_PLAIN.fullmatch(cid) is not None or not _holds_forbidden(cid))
        and not ("." in cid and looks_like_token(cid))
    )


def problem_of(cid: Any) -> str:
    """Say why `cid`, which is not allowed, can be no id. It is not quoted: it may be a misplaced secret."""
    if not isinstance(cid, str):
        return f"a customer id is text or a whole number, not {_json_type(cid)}"
    if looks_like_token(cid):
        return "looks like a bearer token, not like a customer id"
    if not 1 <= len(cid) <= MAX_LENGTH:
        return f"a customer id has 1 to {MAX_LENGTH} characters, this one has {len(cid):,}"
    character = next(filter(_holds_forbidden, cid))
    name = unicodedata.name(character, "a control character").lower()
    return f"holds U+{ord(character):04X} ({name}), which no customer id may hold"


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


def _warnings(cids: Iterable[str]) -> Iterator[str]:
    found: dict[str, list[str]] = {DAMAGED: [], FORMULA: [], UNUSUAL: []}
    for cid in cids:
        if shape := shape_of(cid):
            found[shape].append(cid)
    for shape, those in found.items():
        if those:
            hexadecimal = sum(1 for cid in those if _HEX.fullmatch(cid)) if shape == UNUSUAL else 0
            note = f" ({hexadecimal:,} hexadecimal, but not of 32 characters)" if hexadecimal else ""
            yield f"{_count(those)} {shape}{note}: {_some(those)}."
    folded = Counter(cid.lower() for cid in cids)
    same = [cid for cid in cids if folded[cid.lower()] > 1]
    if same:
        yield f"{len(same):,} ids differ only by upper and lower case: {_some(same)}."


def _count(cids: list[str]) -> str:
    return "1 id looks" if len(cids) == 1 else f"{len(cids):,} ids look"


def _some(cids: list[str]) -> str:
    return ", ".join(cids[:10]) + (" …" if len(cids) > 10 else "")
