"""The parts that every page is made of, so that one thing looks and speaks the same wherever it stands.

What is drawn in each row of a list is made here, as in template_filters.py; the rest are templates/partials/, of which
those that hold other HTML are used as blocks: {% page_head "Activity" %}…{% endpage_head %}. /styles/ shows them all.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from html import escape
from typing import Any

from django import template
from django.forms import BoundField
from django.template.context import Context
from django.template.defaultfilters import capfirst
from django.template.engine import Engine
from django.utils.safestring import SafeString, mark_safe

from tmsdash.web.chips import Chip

register = template.Library()


@dataclass(frozen=True)
class Column:
    """The head of a table's column; `address` leads to the same rows sorted by it, `order` is how they are now."""

    words: str
    css: str = ""
    address: str = ""
    order: str = ""  # "ascending" or "descending"


@register.simple_tag
@lru_cache(512, typed=True)  # each row of a list has one, of few words; a safe text and an unsafe one are two
def badge(css: str, words: object, title: str = "") -> SafeString:
    """Return the mark of an outcome or a state: a word with the symbol and colour of the class `css`."""
    on_hover = f' title="{escape(title)}"' if title else ""
    return mark_safe(f'<span class="status {escape(css)}"{on_hover}>{_escaped(words)}</span>')  # noqa: S308 (escaped)


@register.simple_tag
def form_field(field: BoundField, more: str = "") -> SafeString:
    """Return a field of a form with its label, hint (`more` is appended) and errors, tied together by Django's ids."""
    label = f'<label for="{field.id_for_label}">{_escaped(field.label)}</label>'
    hint = errors = ""
    if field.help_text:
        words = f"{_escaped(capfirst(str(field.help_text)))} {_escaped(more)}"
        hint = f'<div class="hint" id="{field.auto_id}_helptext">{words}</div>'
    if field.errors:
        scrolls = ' tabindex="0"' if len(field.errors) > 3 else ""
        errors = f'<div class="errors"{scrolls}>{field.errors}</div>'
    return mark_safe(f'<div class="field">{label}{hint}{errors}{field}</div>')  # noqa: S308 (escaped, or Django's own)


@register.filter
def in_title(chips: Iterable[Chip]) -> str:
    """Return what the title of a list says of its filters, such as " – Action: PE-Enable"; "" if none is set."""
    words = ", ".join(chip.text for chip in chips)
    return f" – {words}" if words else ""


@register.simple_block_tag(takes_context=True)
def page_head(context: Context, content: str, title: str, **options: Any) -> SafeString:
    """Return the head of a page, with its actions in the block; see templates/partials/_page_head.html."""
    return _drawn(context, "_page_head", actions=mark_safe(content.strip()), title=title, **options)  # noqa: S308 (a template's)


@register.simple_block_tag(takes_context=True)
def table(
    context: Context, content: str, caption: str, *columns: str | Sequence[Column], css: str = "card"
) -> SafeString:
    """Return a table with its bodies in the block, in a region that scrolls; see templates/partials/_table.html.

    `columns` are the words of its head, in order; those that are empty are left out. After a colon stands how a column
    is drawn: "Customers:number", or "End:visually-hidden" for words that only screen readers need. Several can be given
    as Columns.
    """
    heads: list[SafeString] = []
    for column in columns:
        if column:
            heads += [_head(column)] if isinstance(column, str) else map(_head_of, column)
    return _drawn(context, "_table", body=content, caption=caption, heads=mark_safe("".join(heads)), css=css)  # noqa: S308


@register.simple_block_tag(takes_context=True)
def live_part(context: Context, content: str, view: object) -> SafeString:
    """Return the part of a page that changes while something runs; see templates/partials/_live_part.html."""
    return _drawn(context, "_live_part", body=content, view=view)


def _drawn(context: Context, name: str, **values: Any) -> SafeString:
    return Engine.get_default().get_template(f"partials/{name}.html").render(context.new(values))


@cache
def _head(column: str) -> SafeString:
    """Return a column's head; it is made once, as all pages together have few."""
    words, _, css = column.partition(":")
    return _head_of(Column(words, css))


def _head_of(column: Column) -> SafeString:
    words = escape(column.words)
    if column.address:
        words = f'<a href="{escape(column.address)}">{words}</a>'
    elif column.css == "visually-hidden":
        words = f'<span class="visually-hidden">{words}</span>'
    number = ' class="number"' if column.css == "number" else ""
    order = f' aria-sort="{column.order}"' if column.order else ""
    return mark_safe(f'<th scope="col"{number}{order}>{words}</th>')  # noqa: S308 (escaped)


def _escaped(words: object) -> str:
    return words if isinstance(words, SafeString) else escape(str(words))
