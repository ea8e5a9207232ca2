"""Rows of tables as HTML. Fifty rows of a template took most of a page's time; this is one pass."""

import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from html import escape
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe

from tmsdash.web.day_groups import day_clock, heading_row

_SPECIAL = re.compile("[&<>\"']")
_ANY_ID = uuid.UUID(int=0)


def table_rows(row: str, cells: Iterable[Mapping[str, Any]]) -> SafeString:
    """Return the HTML of a table's rows: `row` with each of the `cells` in place of its {name}.

    All that is not safe is escaped, as Django's `format_html_join` does, which takes several times as long.
    """
    return mark_safe("\n".join(row.format_map(_escaped(values)) for values in cells))  # noqa: S308 (escaped)


def rows_by_day(row: str, cells: Iterable[dict[str, Any]]) -> SafeString:
    """Return the HTML of a table's bodies: one for each day, with its heading above the rows that `table_rows` makes.

    Each of the `cells` has its time as `at`, which is shown in place of {time}; without, it belongs to the row before.
    """
    columns = row.count("<td")
    days = groupby(_with_days(cells), itemgetter(0))
    bodies = [
        f"<tbody>\n{heading_row(day, columns)}\n{table_rows(row, (values for _, values in rows))}\n</tbody>"
        for day, rows in days
    ]
    return mark_safe("\n".join(bodies))  # noqa: S308 (escaped)


def address_maker(name: str) -> Callable[[uuid.UUID], str]:
    """Return what makes the address of the page `name` of an id, without looking the page up again for each row."""
    before, _, after = reverse(name, args=[_ANY_ID]).partition(str(_ANY_ID))
    return lambda thing_id: f"{before}{thing_id}{after}"


def _with_days(cells: Iterable[dict[str, Any]]) -> Iterator[tuple[date | None, dict[str, Any]]]:
    day, day_and_clock = None, day_clock()
    for values in cells:
        if "at" in values:
            day, values["time"] = day_and_clock(values.pop("at"))
        yield day, values


def _escaped(values: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: value if isinstance(value, SafeString) else _quick_escape(str(value)) for name, value in values.items()
    }


def _quick_escape(text: str) -> str:
    return escape(text) if _SPECIAL.search(text) else text  # most have nothing to escape
