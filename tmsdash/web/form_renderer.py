"""Draws fields of forms. The filters above a list have a few, and their templates took as long as all of its rows."""

from collections.abc import Callable
from html import escape as escaped
from typing import Any

from django.forms.renderers import DjangoTemplates
from django.utils.safestring import mark_safe


def escape(value: Any) -> str:
    """Return what Django's function of this name does, without asking whether the value is a lazy one."""
    return escaped(str(value))


class Renderer(DjangoTemplates):
    """Django's own, but for the fields that most forms have: it writes what their templates say."""

    def render(self, template_name: str, context: dict[str, Any], request: Any = None) -> str:
        draw = _DRAWN.get(template_name)
        return mark_safe(draw(context["widget"])) if draw else super().render(template_name, context, request)  # noqa: S308 (escaped below)


def _input(widget: dict[str, Any]) -> str:
    value = "" if widget["value"] is None else f' value="{escape(widget["value"])}"'
    return f'<input type="{widget["type"]}" name="{escape(widget["name"])}"{value}{_attributes(widget["attrs"])}>'


def _select(widget: dict[str, Any]) -> str:
    parts = [f'<select name="{escape(widget["name"])}"{_attributes(widget["attrs"])}>']
    for group, options, _ in widget["optgroups"]:
        parts += [f'<optgroup label="{escape(group)}">'] if group else []
        parts += map(_option, options)
        parts += ["</optgroup>"] if group else []
    return "\n".join([*parts, "</select>"])


def _option(option: dict[str, Any]) -> str:
    return f'<option value="{escape(option["value"])}"{_attributes(option["attrs"])}>{escape(option["label"])}</option>'


def _attributes(attrs: dict[str, Any]) -> str:
    return "".join(
        f" {name}" if value is True else f' {name}="{escape(value)}"'
        for name, value in attrs.items()
        if value is not False
    )


_DRAWN: dict[str, Callable[[dict[str, Any]], str]] = {
    f"django/forms/widgets/{name}.html": draw
    for draw, names in {_input: ("text", "password", "date", "hidden", "number", "email"), _select: ("select",)}.items()
    for name in names
}
