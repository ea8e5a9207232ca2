"""Rows of tables as HTML. Fifty rows of a template took most of a page's time; this is one pass."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from html import escape
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.utils.safestring import SafeString, mark_safe

from tmsdash.web.day_groups import day_clock, heading_row

has_special = re.compile("[&<>\"']").search


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


def _with_days(cells: Iterable[dict[str, Any]]) -> Iterator[tuple[date | None, dict[str, Any]]]:
    day, day_and_clock = None, day_clock()
    for values in cells:
        if "at" in values:
            day, values["time"] = day_and_clock(values.pop("at"))
        yield day, values


def _escaped(values: Mapping[str, Any]) -> dict[str, str]:
    # Most texts have nothing to escape, so they are searched for it before.
    return {
        name: value if type(value) is SafeString else escape(text) if has_special(text := str(value)) else text
        for name, value in values.items()
    }
