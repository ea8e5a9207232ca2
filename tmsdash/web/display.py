"""How somebody sees the site, chosen in the foot of every page: light or dark, the zone of its times, shortcuts.

Each choice is a cookie of their browser, so that it holds on the page to sign in, too. Whatever else a cookie may say
counts as no choice: the system's colours, UTC, shortcuts on.
"""

import zoneinfo
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse

from tmsdash.banners import shown_banners, shown_timers
from tmsdash.version import product_version
from tmsdash.web.cookies import shared_cookie_name

KEPT_S = 365 * 86_400
SYSTEM, UTC, ON, OFF = "system", "UTC", "on", "off"
DEFAULTS = {"theme": SYSTEM, "time_zone": UTC, "shortcuts": ON}
THEMES = {SYSTEM: "As the system", "light": "Light", "dark": "Dark"}
SHORTCUTS = {ON: "On", OFF: "Off"}
_NO_ZONES = ("Factory", "localtime")  # files among those of zones


@cache
def zone_names() -> frozenset[str]:
    """Return the names of all zones that this system knows."""
    return frozenset({UTC, *zoneinfo.available_timezones()}.difference(_NO_ZONES))


def choices_of(request: HttpRequest) -> dict[str, str]:
    """Return what somebody chose, by the names in DEFAULTS."""
    return {"theme": theme_of(request) or SYSTEM, "time_zone": zone_of(request), "shortcuts": shortcuts_of(request)}


def theme_of(request: HttpRequest) -> str:
    """Return the colours that somebody chose: "light", "dark", or "" for the system's."""
    theme = request.COOKIES.get(shared_cookie_name("theme"), "")
    return theme if theme in THEMES and theme != SYSTEM else ""


def zone_of(request: HttpRequest) -> str:
    """Return the name of the zone that somebody chose for times."""
    name = request.COOKIES.get(shared_cookie_name("time_zone"), UTC)
    return name if name == UTC or name in zone_names() else UTC


def shortcuts_of(request: HttpRequest) -> str:
    """Return whether somebody wants shortcuts: ON or OFF."""
    return OFF if request.COOKIES.get(shared_cookie_name("shortcuts")) == OFF else ON


def display_context(request: HttpRequest) -> dict[str, Any]:
    """Give templates what was chosen: `theme` as `theme_of` has it, `time_zone`, and whether there are shortcuts.

    `banners` are what administrators tell everybody, and `timers_to_look_at` is for staff. `version` is the product's,
    `host` the site's.
    """
    return {
        "banners": shown_banners,
        "timers_to_look_at": lambda: shown_timers(request),
        "version": product_version,
        "host": lambda: _host(request),
        "theme": theme_of(request),
        "time_zone": zone_of(request),
        "has_shortcuts": shortcuts_of(request) == ON,
    }


def _host(request: HttpRequest) -> str:
    try:
        return request.get_host()
    except DisallowedHost:  # the page says so anyway
        return ""


def keep(answer: HttpResponse, choice: str, value: str) -> None:
    """Let the browser keep a choice; a default needs no cookie."""
    name, path = shared_cookie_name(choice), settings.SESSION_COOKIE_PATH
    if value == DEFAULTS[choice]:
        answer.delete_cookie(name, path=path, samesite="Lax")
        return
    answer.set_cookie(
        name,
        value,
        max_age=KEPT_S,
        path=path,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
