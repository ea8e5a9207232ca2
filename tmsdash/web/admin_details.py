"""What the templates of the admin's pages of one thing show: its facts, and the fields of a form, in sections."""

from dataclasses import dataclass, field
from typing import Any

from django.forms import BoundField
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from tmsdash.web.admin_lists import plain


@dataclass(frozen=True)
class Section:
    """What belongs together on a page: facts first, each with its name, then what can be changed."""

    title: str
    description: str
    is_folded: bool = False
    """Whether it can be opened and closed; it is open at first if something of it is set or wrong."""
    facts: list[tuple[str, SafeString]] = field(default_factory=list)
    fields: list[BoundField] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return any(field.errors or field.value() for field in self.fields)


def sections_of(adminform: Any) -> list[Section]:
    """Return the fieldsets of a form of Django's admin as sections, without those that have nothing to show."""
    sections = []
    for fieldset in adminform:
        section = Section(str(fieldset.name or ""), str(fieldset.description or ""), "collapse" in fieldset.classes)
        for line in fieldset:
            for item in line:
                if item.is_readonly:
                    section.facts.append((capfirst(str(item.field["label"])), plain(item.contents())))
                elif not item.field.is_hidden:
                    section.fields.append(item.field)
        if section.facts or section.fields:
            sections.append(section)
    return sections
