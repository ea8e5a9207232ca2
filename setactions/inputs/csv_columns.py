"""Which cell of a row is what: by the header, or in one bare column.

Nothing but the column of ids is ever taken as an id, and no row is left out without a word:
- A row has as many cells as the header names. With more or fewer, its cells may have shifted.
- Without a header that names the ids, a list is one column or one line; anything else is refused.
- A header is no id, whatever it says and wherever it stands: further down, files were put together.
- A cell in quotation marks may have line breaks, but no line that could be a row: two stray marks would hide customers.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from setactions.inputs.csv_rows import SEPARATOR_LINE, Row, Rows
from setactions.inputs.ids import EMPTY, is_allowed
from setactions.inputs.problems import Problems
from setactions.inputs.shapes import HEADER, UNUSUAL, is_damaged, shape_of
from setactions.tms.clusters import find_cluster
from setactions.tms.spellings import find_action
from tmsdash.csv_text import ID_COLUMN, from_cell
from tmsdash.text import one_line
from tmsdash.tokens import without_tokens

LOOKED_AT = 20  # rows, to tell a header from an id
_BLANKS = " \t\u00a0"  # that may stand around an id
_OTHER_COLUMN = re.compile(r"[\s_-]*+(cluster|action)[\s_-]*+", re.IGNORECASE)
_DIGIT = re.compile(r"\d")
_LIKE_A_HEADER = re.compile(r"(?=\W*+[^\W\d])\D*+")
_MARKS_IN_HEADERS = re.compile(r"[\s*?.:()\[\]]")
_PLAIN_WORD = re.compile(r"[a-z_-]++|[A-Z_-]++")  # alone it is taken for an id; Kunde is written like a header
# Words between blanks: one with a letter and a digit, or lower-case words joined by `-` or `_` among such.
_WORD_WITH_DIGIT = re.compile(r"(?=.*\d)(?=.*[^\W\d_])[\w-]++")
_JOINED_WORDS = re.compile(r"[a-z]++(?:[_-][a-z]++)++")  # of which there may be one among three ids with digits
_THOUSANDS = re.compile(rf"\d{{1,3}}(?:[{_BLANKS}]\d{{3}})++")
_NUMBERED = "0"  # how pandas calls a column without a name
_LINE_END = re.compile(r"\r\n|\n|\r")

_HINT = (
    "Write customer_id (or cust_id, cid, id) above the column of ids; columns named action and cluster are read, too."
)
_HEADER_ONLY = "The list has a header and nothing below it. Give at least one customer id."
_SHORT = "The row has fewer cells than the first line. It may have been cut off; complete it."
_LONG = (
    "The row has more cells than the first line. They may have shifted: put text with a comma in quotation marks, "
    "and each id on a line of its own."
)
_LATE_HEADER = (
    "This is a header, but it is not the first line. Keep one at the top: files may have been put together here."
)
_UNREAD = "Columns that are ignored: {}."
_NAMELESS = "one without a name"
_TWICE = "The header names a column twice: {}. Keep one of them."
_SEVERAL_OF_IDS = "Several columns could hold the ids: {}. Keep one of them, or give the others other names."
_SEVERAL = (
    f"There are several columns, and the first line{{}} does not say which holds ids. {_HINT} If all of them hold ids, "
    "put each id on a line of its own."
)
_ID_IN_HEADER = "This is a header, but it holds an id, too. Put each id on a line of its own, below the header."
_UNKNOWN = f"This header{{}} is not known. {_HINT}"
_ONE_NUMBER = (
    "This line looks like one number with marks between its thousands. Write it without them; if these are several "
    "ids, put each on a line of its own."
)
_NOT_ALIKE = f"Not everything in this line looks like an id. Put each id on a line of its own. {_HINT}"
_HIDDEN = (
    "A cell in quotation marks begins here, but line {} within it looks like a row of its own. Take out the stray "
    "quotation marks."
)


class Asked(NamedTuple):
    """What a row asks for, as its cells say it; empty where it has no such cell."""

    line: int
    cid: str
    cluster: str = ""
    action: str = ""


class _Layout(NamedTuple):
    """The columns of what is read, counted from 0 (-1: there is none); how many cells a row has, and has at most."""

    cid: int = 0
    cluster: int = -1
    action: int = -1
    width: int = 1
    padded: int = 1


def asked_by(rows: Rows, problems: Problems, notes: Problems, *, takes_headers: bool = False) -> Iterator[Asked]:
    """Return what each row asks for; what is wrong with the header or with rows goes to `problems`.

    `notes` get what is left unread. With `takes_headers`, somebody gave their word that a header in a single column is
    an id.
    """
    rest = iter(rows)
    head = list(islice(rest, LOOKED_AT))
    if not head:
        if not problems.count:
            problems.add(0, EMPTY)
    elif any(map(ID_COLUMN.fullmatch, head[0][2])):
        if layout := _layout_below(head, rows, problems, notes):
            yield from _asked_in(chain(head[1:], rest), layout, rows, problems, takes_headers=takes_headers)
    elif late := next((line for line, _, row in head if len(row) > 1 and _is_header(row)), None):
        problems.add(late, _LATE_HEADER)
    elif len(head) == 1:
        yield from _asked_in_line(head[0], problems)
    else:
        line, _, names = head[0]
        listed = f" ({_listed(names)})" if _is_like_header(names) else ""
        if any(map(str.strip, names[1:])):
            problems.add(line, _SEVERAL, listed)
            return
        is_unknown = _is_unknown_header(names[0].strip(), head[1:], takes_headers=takes_headers)
        if is_unknown:
            problems.add(line, _UNKNOWN, f" ({_listed(names)})")
        all_rows = chain(head[1:] if is_unknown else head, rest)
        yield from _asked_in(all_rows, _Layout(), rows, problems, takes_headers=takes_headers)


def _layout_below(head: list[Row], rows: Rows, problems: Problems, notes: Problems) -> _Layout | None:
    """Return what the header says; None after noting what is wrong with it."""
    line, last, names = head[0]
    columns: dict[str, list[int]] = {}
    width = max(place for place, name in enumerate(names, start=1) if name.strip())
    for place, name in enumerate(names[:width]):
        other = _OTHER_COLUMN.fullmatch(name)
        column = "id" if ID_COLUMN.fullmatch(name) else other[1].lower() if other else ""
        columns.setdefault(column, []).append(place)
    unread = columns.pop("", [])
    for column, places in columns.items():
        if len(places) > 1:
            problems.add(line, _TWICE if column != "id" else _SEVERAL_OF_IDS, _listed(names[place] for place in places))
            return None
    cid, cluster, action = (columns.get(column, [-1])[0] for column in ("id", "cluster", "action"))
    if last > line and (hidden := _hidden_row([*names[:cid], "0", *names[cid + 1 :]], cid, width, rows)):
        problems.add(line + hidden[0], _HIDDEN, f"{line + hidden[1]:,}")
    elif not all(shape_of(name.strip(_BLANKS)) for name in names):
        problems.add(line, _ID_IN_HEADER)
    elif len(head) == 1 and not problems.count:
        problems.add(0, _HEADER_ONLY)
    if unread:
        notes.add(line, _UNREAD, _listed(names[place].strip() or _NAMELESS for place in unread))
    return _Layout(cid, cluster, action, width, len(names))


def _asked_in(
    all_rows: Iterator[Row], layout: _Layout, rows: Rows, problems: Problems, *, takes_headers: bool
) -> Iterator[Asked]:
    cid, cluster, action, width, padded = layout
    is_first_read_only = max(cid, cluster, action) == 0
    for line, last, row in all_rows:
        if last > line and (hidden := _hidden_row(row, cid, width, rows)):
            problems.add(line + hidden[0], _HIDDEN, f"{line + hidden[1]:,}")
        elif len(row) < width:
            problems.add(line, _SHORT)
        # Empty cells behind the last column are nothing, unless a comma in a text has put a cell too many before them.
        elif len(row) > width and (any(map(str.strip, row[width:])) or (len(row) > padded and not is_first_read_only)):
            problems.add(line, _LONG)
        elif not _looks_like_id(row[cid]) and _is_header(row) and not (takes_headers and width == 1):
            problems.add(line, _LATE_HEADER)
        else:
            row.append("")  # at -1, for columns that are not in this list
            yield Asked(line, from_cell(row[cid].strip(_BLANKS)), row[cluster].strip(), row[action].strip())


def _asked_in_line(row: Row, problems: Problems) -> Iterator[Asked]:
    """Return the ids of a list that is one line, whatever separates them."""
    line, _, cells = row
    cids = [cid for cell in cells for part in re.split("[,;\t]", cell) for cid in _ids_between_blanks(part)]
    if not cids:
        problems.add(0, EMPTY)
    elif len(cids) == 1 and is_allowed(cids[0]) and _is_like_header(cids) and not _PLAIN_WORD.fullmatch(cids[0]):
        problems.add(line, _UNKNOWN, f" ({_listed(cids)})")
    elif _THOUSANDS.fullmatch(" ".join(cids)):
        problems.add(line, _ONE_NUMBER)
    elif (
        any(" " in cid for cid in cids)
        or not _are_alike(cids)
        or (1 < len(cids) < LOOKED_AT and any(map(_names_something, cids)))
    ):
        problems.add(line, _NOT_ALIKE)
    else:
        yield from (Asked(line, from_cell(cid)) for cid in cids)


def _ids_between_blanks(text: str) -> list[str]:
    cids = re.findall(f"[^{_BLANKS}]+", text)
    # One number may have blanks between its thousands, and a name or a note has some, too.
    are_ids = all(map(_is_like_id_in_text, cids)) and any(map(_looks_like_id, cids)) and _are_alike(cids)
    return cids if are_ids or not cids else [text.strip(_BLANKS)]


def _is_like_id_in_text(word: str) -> bool:
    shape = shape_of(word)
    is_word = _WORD_WITH_DIGIT.fullmatch(word) or _JOINED_WORDS.fullmatch(word)
    return not shape or (is_word is not None and not is_damaged(shape))


def _hidden_row(row: list[str], cid: int, width: int, rows: Rows) -> tuple[int, int] | None:
    """Look for a line within a cell in quotation marks that would be a row: as many cells, an id in the id's place.

    Returns how many lines below the first one that cell begins, and that line stands; None if all is well. The cells
    around the quoted one belong to the row that its first or last line would be.
    """
    own, offset = from_cell(row[cid].strip(_BLANKS)) if cid < len(row) else "", 0
    for place, cell in enumerate(row):
        lines = _LINE_END.split(cell)
        for number, line in enumerate(lines if len(lines) > 1 else ()):
            cells = line.split(rows.delimiter)
            before = place if number == 0 else 0
            after = len(row) - place - 1 if number == len(lines) - 1 else 0
            if before + len(cells) + after >= width and before <= cid < before + len(cells):
                inner = from_cell(cells[cid - before].strip(_BLANKS))
                if is_allowed(inner) and (not shape_of(inner) or (shape_of(own) and _are_alike([own, inner]))):
                    return offset, offset + number
        offset += len(lines) - 1
    return None


def may_be_misread(cids: Sequence[str]) -> bool:
    """Tell whether a list of ids needs a header above it, lest it be taken for something else."""
    first = cids[0]
    is_header = _is_like_header([first]) or _is_header([first]) or _shape_of_name(first) == HEADER or first == _NUMBERED
    return is_header or any("|" in cid for cid in cids)


def _is_header(row: list[str]) -> bool:
    return any(map(ID_COLUMN.fullmatch, row)) or SEPARATOR_LINE.fullmatch(row[0]) is not None


def _is_like_header(cells: list[str]) -> bool:
    names = [cell.strip() for cell in cells if cell.strip()]
    return all(_LIKE_A_HEADER.fullmatch(name) and _shape_of_name(name) in (UNUSUAL, HEADER) for name in names)


def _shape_of_name(name: str) -> str:
    return shape_of(_MARKS_IN_HEADERS.sub("", name))


def _looks_like_id(cell: str) -> bool:
    """Tell whether a cell may well be an id: names of columns and of people have no digits, ids mostly have."""
    return _DIGIT.search(cell) is not None or not shape_of(cell.strip(_BLANKS))


def _are_alike(cids: list[str]) -> bool:
    """Tell whether all look like ids, or none does; a few words such as zz-test may stand among many that do."""
    others = [cid for cid in cids if not _looks_like_id(cid)]
    if len(others) in (0, len(cids)):
        return True
    is_few = 3 * len(others) <= len(cids) - len(others)
    return is_few and all(map(_JOINED_WORDS.fullmatch, others)) and not any(map(_names_something, others))


def _names_something(cid: str) -> bool:
    return find_action(cid) is not None or find_cluster(cid) is not None


def _is_unknown_header(name: str, below: list[Row], *, takes_headers: bool) -> bool:
    """Tell whether a first line with one cell is a header above ids, though not one that names them."""
    if name == _NUMBERED:
        return True
    is_header = _shape_of_name(name) == HEADER and not takes_headers
    return is_header or (_is_like_header([name]) and _have_ids(below))


def _have_ids(rows: list[Row]) -> bool:
    """Tell whether the lines below a first line that is like a header look like ids: the next one, or most."""
    having = [any(map(_looks_like_id, row)) for _, _, row in rows]
    return having[0] or sum(having) > len(having) / 2


def _listed(names: Iterable[str]) -> str:
    shown = [one_line(without_tokens(name.strip()), 30) for name in names if name.strip()]
    return ", ".join(shown[:10]) + (" …" if len(shown) > 10 else "")
