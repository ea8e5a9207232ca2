"""Ids as CSV that no spreadsheet calculates with."""

import csv
import io
import re
from collections.abc import Iterable

from django.http import HttpResponse

# What a spreadsheet takes for a formula (East Asian ones take the wide characters, too), behind any number of the
# apostrophes that to_csv puts in front.
_FORMULA = re.compile("'*[-=+@\uff0d\uff1d\uff0b\uff20]")


def to_csv(header: str, cells: Iterable[str]) -> str:
    """Return a CSV file of one column that a spreadsheet shows as it is; `from_cell` gives each cell back."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow([header])
    writer.writerows([to_cell(cell)] for cell in cells)
    return file.getvalue()


def to_cell(text: str) -> str:
    """Return what a spreadsheet shows as `text`: what it would calculate gets an apostrophe in front."""
    return f"'{text}" if _FORMULA.match(text) else text


# What a spreadsheet makes a number, a date, a time or a truth value of; it would drop zeros and round what is long.
_MONTH = (
    "(jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sept?(ember)?|oct(ober)?|nov(ember)?"
    "|dec(ember)?)"
)
# Possessive, and nothing repeats within what repeats: ids are anybody's text, and a search that goes back over it
# again and again holds up every other thread.
_CONVERTED = re.compile(
    rf"[\d.,:/% -]++(e[-+]?\d++)?|true|false|([\d.]++[-/ ]?)?{_MONTH}([-/., \d]*\d)?|[$€£¥]\s*+[\d.,]++", re.IGNORECASE
)


def to_text_cell(text: str) -> str:
    """Return what a spreadsheet keeps as the text that it is: what it would convert gets an apostrophe in front."""
    return f"'{text}" if _CONVERTED.fullmatch(text) else to_cell(text)


def ids_file(name: str, cids: Iterable[str]) -> HttpResponse:
    """Return customer ids as a CSV file to download under this name; the header is what an upload is looked up by."""
    return HttpResponse(
        to_csv("customer_id", cids),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def from_cell(cell: str) -> str:
    """Return what a cell held before `to_csv` put an apostrophe in front; other cells are returned as they are."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
