"""The one way of paging: the rows of a page, and the addresses of the pages on either side.

A list of known length has numbered pages. A list that grows while people read it is cut behind the last row that they
saw instead: page 1,000 is then as quick as page 1, and new rows move nothing. Whatever place an address names, there
is a page to show. templates/partials/_pages.html draws the links.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.core.paginator import Paginator
from django.db.models import Q, QuerySet

Row = TypeVar("Row")


@dataclass(frozen=True, kw_only=True)
class Page(Generic[Row]):
    """One page of a list; `back` and `onward` are addresses, empty where there is no such page."""

    rows: Sequence[Row]
    back: str = ""
    """Of the page before, or of the newest rows where pages have no numbers."""
    onward: str = ""
    number: int = 1
    count: int = 1
    start: int = 1
    """The number of the first row, from 1."""


def numbered_page(
    rows: Sequence[Row] | QuerySet[Any],
    number: str | None,
    per_page: int,
    address: Callable[[int], str],
    *,
    count: int | None = None,
) -> Page[Row]:
    """Return the page whose number is `number`, as it stands in an address; `address` makes that of any page.

    What is no number asks for the first page, a number behind the last one for the last. `count` is how many rows
    there are, if that is known; else they are counted.
    """
    paginator = Paginator(rows, per_page)
    if count is not None:
        paginator.count = count
    page = paginator.get_page(number if re.fullmatch("[1-9][0-9]{0,8}", number or "") else 1)
    return Page(
        rows=list(page.object_list),
        back=address(page.number - 1) if page.has_previous() else "",
        onward=address(page.number + 1) if page.has_next() else "",
        number=page.number,
        count=paginator.num_pages,
        start=page.start_index() or 1,
    )


def page_behind(
    rows: QuerySet[Any, Row],
    key: str,
    per_page: int,
    behind: Callable[[Any], Q],
    address: Callable[..., str],
    following: Callable[[Any, int], Sequence[Any]] | None = None,
) -> Page[Row]:
    """Return the page of `rows`, newest first, that begins behind the row with the primary key `key`.

    `rows` are instances, or named tuples that have a `pk`. `behind` returns the condition for the rows that follow a
    given one. `address` makes that of the newest page, and with `before` that of the page behind a key. A key of no
    row asks for the newest page. `following` reads so many that follow a row, or the newest if that is None, where
    a query would have to find all rows first.
    """
    seen = rows.filter(pk=int(key)).first() if re.fullmatch("[0-9]{1,19}", key) else None
    if following:
        read = following(seen, per_page + 1)
    else:
        read = list((rows.filter(behind(seen)) if seen else rows)[: per_page + 1])
    shown: list[Any] = [*read[:per_page]]
    return Page(
        rows=shown,
        back=address() if seen else "",
        onward=address(before=shown[-1].pk) if len(read) > per_page else "",
    )
