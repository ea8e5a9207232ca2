"""Browsers by the names that people know."""

import re

from django.http import HttpRequest

from tmsdash.models import USER_AGENT_LENGTH
from tmsdash.text import one_line
from tmsdash.tokens import without_tokens

LENGTH = 60
# The first match counts: most browsers also claim to be one of those further down.
_BROWSERS = {
    "Edge": re.compile(r"Edg(?:e|A|iOS)?/(\d{1,6})"),
    "Opera": re.compile(r"OPR/(\d{1,6})"),
    "Samsung Internet": re.compile(r"SamsungBrowser/(\d{1,6})"),
    "Firefox": re.compile(r"(?:Firefox|FxiOS)/(\d{1,6})"),
    "Chrome": re.compile(r"(?:Chrome|CriOS|HeadlessChrome)/(\d{1,6})"),
    "Safari": re.compile(r"Version/(\d{1,6})[^ ]{0,40} (?:Mobile/[^ ]{0,40} )?Safari/"),
}
_SYSTEMS = ("Windows", "Android", "iPhone", "iPod", "iPad", "Macintosh", "CrOS", "Linux")  # the first match counts
_KNOWN_AS = {"iPod": "iPhone", "Macintosh": "macOS", "CrOS": "ChromeOS"}


def browser_name(user_agent: str) -> str:
    """Return a browser's name, version and system, such as "Firefox 128 on Windows".

    What is no browser is named as it names itself, shortened.
    """
    for name, pattern in _BROWSERS.items():
        if version := pattern.search(user_agent):
            system = next((_KNOWN_AS.get(name, name) for name in _SYSTEMS if name in user_agent), "")
            return f"{name} {version[1]}" + (f" on {system}" if system else "")
    return one_line(user_agent, LENGTH) or "not named"


def user_agent_of(request: HttpRequest) -> str:
    """Return the User-Agent of a request, fit to be stored: without anything that may be a token."""
    return one_line(without_tokens(request.headers.get("User-Agent", "")), USER_AGENT_LENGTH)
