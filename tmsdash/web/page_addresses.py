"""The addresses of pages, each looked up once: a list has a dozen, and `reverse` took a twentieth of its time."""

import uuid
from collections.abc import Callable
from functools import cache

from django.conf import settings
from django.urls import get_script_prefix, reverse

_ANY_ID = uuid.UUID(int=0)


def page_address(name: str) -> str:
    """Return the address of the page `name`, which has nothing to fill in."""
    return _address(name, get_script_prefix(), settings.ROOT_URLCONF)


def address_maker(name: str) -> Callable[[uuid.UUID | str], str]:
    """Return what makes the address of the page `name` of an id."""
    before, after = _around_id(name, get_script_prefix(), settings.ROOT_URLCONF)
    return lambda thing_id: f"{before}{thing_id}{after}"


@cache
def _address(name: str, _prefix: str, _urlconf: str) -> str:
    return reverse(name)


@cache
def _around_id(name: str, _prefix: str, _urlconf: str) -> tuple[str, str]:
    before, _, after = reverse(name, args=[_ANY_ID]).partition(str(_ANY_ID))
    return before, after
