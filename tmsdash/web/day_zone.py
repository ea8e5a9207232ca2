"""The zone of the days in the address of a list.

An address that is passed on has to mean the same to whoever opens it, and a day is another one in another zone. So:

1. Days of another zone than UTC stand in an address with its name, such as `zone=Europe/Berlin`. Without a name they
   are days of UTC, which they were in every address before there was a choice.
2. The form of a page with days keeps their zone, and says so beside them, whatever zone its reader's times are in.
   Only where no day is set, a day that is typed is one of the reader's.
"""

from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from tmsdash.text import one_line
from tmsdash.web.display import UTC, zone_names

ZONE = "zone"  # the parameter
DAYS = ("since", "until")


class NoZoneError(ValueError):
    """An address names a zone that does not exist. The message says so, and what to do."""


def zone_of_days(query: Mapping[str, object]) -> str:
    """Return the name of the zone that the days of an address are in, or would be if it had any; raises NoZoneError."""
    if not has_days(query):
        return str(timezone.get_current_timezone())
    name = str(query.get(ZONE) or UTC)
    if name not in zone_names():
        raise NoZoneError(f"There is no time zone {one_line(name, 40)}. Leave zone out of the address for days of UTC.")
    return name


def with_zone(query: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what an address asks for together with the zone of its days, if it has any and they are not UTC's."""
    return {**query, ZONE: name} if name != UTC and has_days(query) else {**query}


def has_days(query: Mapping[str, object]) -> bool:
    """Tell whether an address names a day."""
    return any(str(query.get(name) or "").strip() for name in DAYS)
