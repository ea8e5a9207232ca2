"""What the templates of the admin's lists show: their filters as a form, chips, rows and pages, as on any other list.

Django's admin draws links for each value of each filter, cells without labels and numbers of pages. What is asked for
in an address is the same; how it is offered is not.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property, partial
from itertools import groupby
from typing import Any
from urllib.parse import parse_qs

from django import forms
from django.contrib.admin.templatetags.admin_list import items_for_result, result_headers
from django.contrib.admin.views.main import ALL_VAR, PAGE_VAR, SEARCH_VAR
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst

from tmsdash.text import one_line
from tmsdash.web.admin_site import EMPTY
from tmsdash.web.chips import Chip
from tmsdash.web.clusters import production_class
from tmsdash.web.day_groups import clock_of_day, heading_row, shown_day
from tmsdash.web.day_zone import DAYS, ZONE, has_days
from tmsdash.web.long_lists import LongList, behind_parameters
from tmsdash.web.paging import Page
from tmsdash.web.parts import Column
from tmsdash.web.table_rows import table_rows
from tmsdash.web.template_filters import number, shown_time

# How the columns are drawn that are not plain text, by their names.
COLUMN_CSS = {
    **dict.fromkeys(("customer_count", "accepted", "position"), "number"),
    **dict.fromkeys(("time", "sequence", "kind", "action_name", "ip_address", "origin"), "short"),
}
ID_COLUMNS = ("job_id", "attempt_id", "batch_id")
_CELL = re.compile(r'<t[hd] class="([^"]*)">(.*)</t[hd]>', re.DOTALL)
_ICON = re.compile(r'<img src="[^"]*/icon-(yes|no|unknown)[^>]*>')


class FilterForm(forms.Form):
    """The filters of a list as fields, named as their parameters are in addresses; what is empty does not count."""

    def __init__(self, changelist: Any) -> None:
        super().__init__()
        self.active: dict[str, str] = {}
        """The values that are set, by the names of their parameters."""
        self.zone = "UTC"
        """The zone of the days."""
        for spec in changelist.filter_specs:
            self.zone = getattr(spec, "zone", self.zone)
            for name, field in fields_of(spec, changelist).items():
                self.fields[name] = field
                if given := changelist.filter_params.get(name):
                    self.active[name] = str(given[-1])
        left_out = {*self.fields, ALL_VAR, ZONE, *behind_parameters(changelist.model)}
        for name, values in changelist.filter_params.items():
            if name not in left_out:
                self.fields[name] = forms.CharField(widget=forms.HiddenInput, initial=values[-1])

    def shown(self, name: str) -> str:
        """Return the value of a filter that is set, in the words of its choice."""
        value = self.active[name]
        choices = {str(key): words for key, words in getattr(self.fields[name], "choices", ())}
        return one_line(str(choices.get(value, value)))


def fields_of(spec: Any, changelist: Any) -> dict[str, forms.Field]:
    """Return the fields of a filter, by the names of their parameters; none if there is nothing to choose from."""
    own: dict[str, forms.Field] | None = spec.own_fields(changelist) if hasattr(spec, "own_fields") else None
    if own is not None:
        return own
    choices: dict[str, list[tuple[str, str]]] = {}
    selected: dict[str, str] = {}
    for choice in spec.choices(changelist):
        query = parse_qs(choice["query_string"].removeprefix("?"), keep_blank_values=True)
        for name in query.keys() & {*spec.expected_parameters()}:
            choices.setdefault(name, []).append((query[name][0], str(choice["display"])))
            if choice["selected"]:
                selected[name] = query[name][0]
    title = str(spec.title)
    fields: dict[str, forms.Field] = {}
    for name, values in choices.items():
        if name.endswith("__isnull"):
            fields[name] = choice_field(
                f"Without {title}", [("", "Included"), (values[0][0], "Only those")], selected.get(name)
            )
        elif len(values) > 1 or selected:
            fields[name] = choice_field(capfirst(title), [("", f"Any {title}"), *values], selected.get(name))
    return fields


def choice_field(label: str, choices: list[tuple[str, str]], initial: Any) -> forms.ChoiceField:
    """Return a field of which one of the `choices`, values and words, is chosen at first."""
    return forms.ChoiceField(label=label, choices=choices, initial=initial, required=False)


class Listing:
    """A list of the admin, ready to be shown."""

    def __init__(self, changelist: Any) -> None:
        self.changelist = changelist
        opts = changelist.opts
        self.address = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")

    @cached_property
    def filters(self) -> FilterForm:
        """The filters as a form."""
        return FilterForm(self.changelist)

    @cached_property
    def kept(self) -> list[tuple[str, str]]:
        """What the form of the search keeps of the address: the filters and the order, but where it goes on."""
        left_out = {SEARCH_VAR, ALL_VAR, *behind_parameters(self.changelist.model)}
        given = self.changelist.filter_params.items()
        return [(name, value) for name, values in given if name not in left_out for value in values]

    @cached_property
    def chips(self) -> list[Chip]:
        """The search and the filters that are set, also by links and by default, each with a way to do without it."""
        cl = self.changelist
        chips = [Chip(f"Search: {self.searched}", cl.get_query_string(remove=[SEARCH_VAR]))] if cl.query else []
        for spec in cl.filter_specs:
            if hasattr(spec, "chip") and (chip := spec.chip(cl)):
                chips.append(chip)
        for name in [name for name in self.filters.active if name != "time"]:
            words = f"{self.filters.fields[name].label}: {self.filters.shown(name)}"
            others = {day: value for day, value in self.filters.active.items() if day in DAYS and day != name}
            removed = [name, ZONE] if name in DAYS and not has_days(others) else [name]
            chips.append(Chip(words, cl.get_query_string(remove=removed)))
        for name in cl.model_admin.linked_by if cl.has_filters else ():
            if values := cl.filter_params.get(name):
                words = f"{capfirst(name.replace('_', ' '))}: {one_line(values[-1])}"
                chips.append(Chip(words, cl.get_query_string(remove=[name])))
        return chips

    @property
    def clear(self) -> str:
        """The address of the list without any filter."""
        return f"{self.address}?time=all" if "time" in self.filters.fields else self.address

    @property
    def searched(self) -> str:
        """What was searched for, in one line; "" if nothing was."""
        return one_line(self.changelist.query)

    @property
    def search_in_words(self) -> str:
        """What a search in vain could be due to; "" if nothing was searched for."""
        help_text = self.changelist.search_help_text
        if not self.changelist.query or not help_text:
            return ""
        return f"A search has to match exactly: {help_text[0].lower()}{help_text[1:]}."

    @property
    def none_in_words(self) -> str:
        """That there are no rows, in a sentence."""
        return f"There is no {self.changelist.opts.verbose_name} yet."

    @cached_property
    def columns(self) -> list[Column]:
        """The columns of the table, with the addresses that sort by them."""
        return [*map(_column, self.changelist.list_display, result_headers(self.changelist))]

    @cached_property
    def is_by_time(self) -> bool:
        """Whether the rows are in the order of their time, which is that of their keys, so that they go by days."""
        cl = self.changelist
        order = str((cl.result_list.query.order_by or ("",))[0]).lstrip("-")
        return "time" in cl.list_display and order in ("pk", cl.lookup_opts.pk.name)

    @cached_property
    def bodies(self) -> SafeString:
        """The bodies of the table as HTML: one for each day with its heading, or one for all rows."""
        rows: Iterable[Any] = self.changelist.result_list
        if not self.is_by_time:
            return self._body(rows)
        days = groupby(rows, lambda row: shown_day(row.created_at))
        bodies = (self._body(members, heading_row(day, len(self.columns))) for day, members in days)
        return mark_safe("".join(bodies))  # noqa: S308 (escaped)

    def _body(self, rows: Iterable[Any], heading: str = "") -> SafeString:
        shown = table_rows('<tr class="{css}">{cells}</tr>', map(self._row, rows))
        return mark_safe(f"<tbody>{heading}{shown}</tbody>")  # noqa: S308 (escaped)

    def _row(self, row: Any) -> dict[str, Any]:
        items = items_for_result(self.changelist, row, None)
        cells = map(partial(self._cell, row), self.changelist.list_display, self.columns, items)
        return {
            "css": production_class(getattr(row, "cluster_url", "")),
            "cells": mark_safe("".join(cells)),  # noqa: S308 (of Django's, which escapes)
        }

    def _cell(self, row: Any, name: str, column: Column, item: str) -> str:
        """Return a cell that says on narrow screens, where rows are cards, what it is; `item` is Django's."""
        css, content = _CELL.findall(item)[0]
        value = getattr(row, name, None)
        if name == "time" and self.is_by_time:
            content = clock_of_day(row.created_at)
        elif isinstance(value, datetime):
            content = shown_time(value)
        elif column.css == "number" and isinstance(value, int):
            content = number(value)
        if " <" in content:  # several things, which stay together where a cell is a grid
            content = f"<div>{content}</div>"
        if name in ID_COLUMNS:
            content = f'<span class="id">{content}</span>'
        own_css = COLUMN_CSS.get(name, "")
        shown = "" if content == EMPTY else plain(content)
        return f'<td data-label="{column.words}" class="{css}{own_css and f" {own_css}"}">{shown}</td>'

    @cached_property
    def page(self) -> Page[Any]:
        """The addresses on either side of this page."""
        cl = self.changelist
        place, count = cl.page_num, cl.paginator.num_pages
        if cl.show_all and cl.can_show_all:
            return Page(rows=())
        return Page(
            rows=(),
            number=place,
            count=count,
            back=cl.get_query_string({PAGE_VAR: place - 1}) if place > 1 else getattr(cl, "first_rows", ""),
            onward=cl.get_query_string({PAGE_VAR: place + 1}) if place < count else getattr(cl, "further_rows", ""),
        )

    @property
    def back_words(self) -> str:
        """What the page before is called."""
        return "Previous" if self.changelist.page_num > 1 else "First rows"

    @property
    def onward_words(self) -> str:
        """What the page after it is called."""
        return "Next" if self.changelist.page_num < self.page.count else "Further rows"

    @property
    def count_in_words(self) -> str:
        """How many rows match, with their name."""
        cl = self.changelist
        name = cl.opts.verbose_name if cl.result_count == 1 else cl.model_admin.rows_name or cl.opts.verbose_name_plural
        count = cl.count_in_words if isinstance(cl, LongList) else number(cl.result_count)
        return f"{count} {name}"

    @property
    def show_all(self) -> str:
        """The address of the list with all rows on one page; "" if it is that, or would be too long."""
        cl = self.changelist
        return cl.get_query_string({ALL_VAR: ""}) if cl.can_show_all and not cl.show_all and cl.multi_page else ""


def _column(name: str, head: dict[str, Any]) -> Column:
    if name == "action_checkbox":
        return Column("Choose", "visually-hidden")
    words, css = capfirst(str(head["text"])), COLUMN_CSS.get(name, "")
    if not head["sortable"]:
        return Column(words, css)
    order = ("ascending" if head["ascending"] else "descending") if head["sorted"] else ""
    return Column(words, css, head["url_primary"], order)


def plain(contents: str) -> SafeString:
    """Return what Django shows of a value with words in place of its pictures for yes and no."""
    return mark_safe(_ICON.sub(r"\1", contents))  # noqa: S308 (Django's, which escapes)
