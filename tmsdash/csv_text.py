"""CSV files of customer ids that no spreadsheet changes, and the way back from their cells to the ids.

- What a spreadsheet would calculate gets an apostrophe in front, in every column.
- So does an id that it would change (a number that loses its zeros or digits, a date, a truth value), one that reads
  like the header of the column, and one that begins with an apostrophe itself.
- `from_cell` takes off one apostrophe in front, whoever put it there, so a file of ours that is uploaded holds the very
  same ids; and a pair of them around an id, as in lists for databases.
"""

import csv
import io
import re
from collections.abc import Iterable
from functools import lru_cache

from django.http import HttpResponse

CSV_TYPE = "text/csv; charset=utf-8"

# How people and programs name the column of customer ids.
_GAP = r"[\s_.:#*?/\\\"`<>()\[\]\u2010-\u2015\u200b\ufeff-]*+"
ID_COLUMN = re.compile(rf"{_GAP}(cust(omer)?{_GAP}id|c?id){_GAP}", re.IGNORECASE)

# Nothing to which we put an apostrophe in front looks like this.
_QUOTED = re.compile(r"'(\w[^'=]*)'")
# What a spreadsheet takes for a formula; East Asian ones take the wide characters, too.
_FORMULA = re.compile("[-=+@\uff0d\uff1d\uff0b\uff20]")
# What it makes a number, a date, a time or a truth value of. Possessive, and nothing repeats within what repeats: ids
# are anybody's text, and a search that goes back over it again and again holds up every other thread.
_MONTH = (
    "(jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sept?(ember)?|oct(ober)?|nov(ember)?"
    "|dec(ember)?)"
)
_CONVERTED = re.compile(
    rf"[\d.,:/% -]++(e[-+]?\d++)?|true|false|([\d.]++[-/ ]?)?{_MONTH}([-/., \d]*\d)?|[$€£¥]\s*+[\d.,]++", re.IGNORECASE
)
_SAME_AS_NUMBER = re.compile("0|[1-9][0-9]{0,10}")  # a spreadsheet shows longer numbers as 1.23E+11


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Return the lines of a CSV file. Cells are written as they are: see `to_cell` and `to_id_cell`."""
    file = io.StringIO(newline="")
    csv.writer(file).writerows(rows)
    return file.getvalue()


def to_cell(text: str) -> str:
    """Return what a spreadsheet shows as `text` and does not calculate."""
    return f"'{text}" if _FORMULA.match(text) else text


def to_id_cell(cid: str) -> str:
    """Return what a spreadsheet keeps as the very id that it is; `from_cell` gives it back."""
    is_changed = _CONVERTED.fullmatch(cid) and not _SAME_AS_NUMBER.fullmatch(cid)
    return f"'{cid}" if is_changed or _FORMULA.match(cid) else to_typed_cell(cid)


@lru_cache(maxsize=30_000)  # the ids of a fleet, which come again with each action
def id_field(cid: str) -> str:
    """Return `to_id_cell`, quoted where it has to be, for the end of a row of several columns."""
    return csv_text([["", to_id_cell(cid)]])[1:-2]


def to_typed_cell(cid: str) -> str:
    """Return what `from_cell` makes this id of, as somebody would type it: nearly always the id itself."""
    return f"'{cid}" if cid.startswith("'") or _reads_like_header(cid) else cid


def from_cell(cell: str) -> str:
    """Return the id in a cell: without the apostrophe that keeps it text in spreadsheets, if it has one."""
    quoted = _QUOTED.fullmatch(cell)
    return quoted[1] if quoted else cell.removeprefix("'")


def _reads_like_header(cid: str) -> bool:
    return ID_COLUMN.fullmatch(cid) is not None or cid[:4].lower() == "sep="


def ids_text(cids: Iterable[str]) -> str:
    """Return a CSV file of one column of customer ids."""
    return csv_text([["customer_id"], *([to_id_cell(cid)] for cid in cids)])


def ids_file(name: str, cids: Iterable[str]) -> HttpResponse:
    """Return customer ids as a CSV file to download under this name."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(ids_text(cids), content_type=CSV_TYPE, headers=headers)
