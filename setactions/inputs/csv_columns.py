"""Which cell of a row is what: by a header, or without one."""

import re
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from setactions.inputs.csv_rows import Row
from setactions.inputs.ids import HEADERS
from setactions.inputs.spool import Sentences
from tmsdash.text import one_line

OTHERS = ("cluster", "action")  # columns that are read besides the ids
_WORDS = re.compile(r"[^\W\d]+([ -][^\W\d]+)*")
_HINT = "Name the column of ids customer_id in the first line; columns named action and cluster are read, too."


class Asked(NamedTuple):
    """What a row asks for, as its cells say it; empty where it has no such cell."""

    line: int
    cid: str
    cluster: str = ""
    action: str = ""


def asked_by(rows: Iterator[Row], errors: Sentences, warnings: Sentences) -> Iterator[Asked]:
    """Return what each row asks for; what is wrong with the header or with rows goes to `errors`."""
    first, second = next(rows, None), next(rows, None)
    if first is None:
        if not errors.count:
            errors.add(0, str, "The file is empty. Give at least one customer id.")
        return iter(())
    names = [cell.strip().lower() for cell in first[1]]
    if not HEADERS.intersection(names):
        return _bare(first, second, rows, errors)
    if second is None:
        errors.add(0, str, "The file has a header and nothing below it. Give at least one customer id.")
        return iter(())
    if sum(names.count(name) for name in HEADERS) > 1 or any(names.count(name) > 1 for name in OTHERS):
        errors.add(first[0], str, "The header names a column twice. Keep one for the ids, and one for each other.")
        return iter(())
    ignored = [name for name in names if name and name not in HEADERS.union(OTHERS)]
    if ignored:
        listed = ", ".join(one_line(name, 30) for name in ignored[:10])
        warnings.add(first[0], str, f"Columns that are not read: {listed}{' …' if len(ignored) > 10 else ''}.")
    return _below(names, chain([second], rows), errors)


def _below(names: list[str], rows: Iterator[Row], errors: Sentences) -> Iterator[Asked]:
    """Return what the rows below a header ask for."""
    cid, cluster, action = (_place_of(names, wanted) for wanted in (HEADERS, OTHERS[:1], OTHERS[1:]))
    needed, width = max(cid, cluster, action), len(names)
    for line, row in rows:
        if len(row) <= needed:
            errors.add(line, str, "The row ends before the last column that is read. It may have been cut off.")
        elif len(row) > width and any(cell.strip() for cell in row[width:]):
            errors.add(line, str, "The row has more cells than the header. Its cells may have been shifted.")
        else:
            yield Asked(line, row[cid], row[cluster] if cluster >= 0 else "", row[action] if action >= 0 else "")


def _place_of(names: list[str], wanted: frozenset[str] | tuple[str, ...]) -> int:
    return next((place for place, name in enumerate(names) if name in wanted), -1)


def _bare(first: Row, second: Row | None, rows: Iterator[Row], errors: Sentences) -> Iterator[Asked]:
    """Return the ids of a file without a header: one column, or one line."""
    line, row = first
    cells = [cell for cell in row if cell.strip()]
    if second is None:
        yield from (Asked(line, cell) for cell in cells)
        return
    if len(cells) > 1:
        errors.add(line, str, f"There are several columns, and no header says which one holds the ids. {_HINT}")
        return
    if _WORDS.fullmatch(cells[0].strip()) and re.search(r"\d", "".join(second[1])):
        errors.add(line, str, f"This header is not known. {_HINT}")
    else:
        yield Asked(line, cells[0])
    for line, row in chain([second], rows):
        cells = [cell for cell in row if cell.strip()]
        if len(cells) > 1:
            errors.add(line, str, "The row has more than one cell, unlike the first. Its cells may have been shifted.")
        else:
            yield Asked(line, cells[0])
