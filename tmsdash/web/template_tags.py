"""Django's `url` tag, quicker: pages have up to 25 of them, and looking up names took a twentieth of a list's time."""

from contextlib import suppress
from typing import Any

from django import template
from django.template.base import FilterExpression, Parser, Token
from django.template.context import Context
from django.template.defaulttags import url
from django.urls import NoReverseMatch
from django.utils.html import conditional_escape

from tmsdash.web.page_addresses import page_address

register = template.Library()


class FixedURLNode(template.Node):
    """The address of a page that has nothing to fill in, the same each time; with a `variable` it is put there."""

    def __init__(self, name: str, variable: str | None) -> None:
        self._name, self._variable = name, variable

    def render(self, context: Context) -> str:
        if not self._variable:
            return str(conditional_escape(page_address(self._name)))
        context[self._variable] = ""  # as Django has it where there is no such page
        with suppress(NoReverseMatch):
            context[self._variable] = page_address(self._name)
        return ""


@register.tag("url")
def quick_url(parser: Parser, token: Token) -> template.Node:
    """Return what the tag becomes: Django's own node, unless the address is always the same."""
    node: Any = url(parser, token)
    view_name: FilterExpression = node.view_name
    is_fixed = isinstance(view_name.var, str) and not (view_name.filters or node.args or node.kwargs)
    return FixedURLNode(view_name.var, node.asvar) if is_fixed else node
