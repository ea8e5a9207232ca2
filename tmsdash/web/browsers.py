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
_SYSTEMS = {
    "Windows": re.compile("Windows"),
    "Android": re.compile("Android"),
    "iPhone": re.compile("iPhone|iPod"),
    "iPad": re.compile("iPad"),
    "macOS": re.compile("Macintosh"),
    "ChromeOS": re.compile("CrOS"),
    "Linux": re.compile("Linux"),
}


def browser_name(user_agent: str) -> str:
    """Return a browser's name, version and system, such as "Firefox 128 on Windows".

    What is no browser is named as it names itself, shortened.
    """
    for name, pattern in _BROWSERS.items():
        if version := pattern.search(user_agent):
            system = next((name for name, pattern in _SYSTEMS.items() if pattern.search(user_agent)), "")
            return f"{name} {version[1]}" + (f" on {system}" if system else "")
    return one_line(user_agent, LENGTH) or "not named"


def user_agent_of(request: HttpRequest) -> str:
    """Return the User-Agent of a request, fit to be stored: without anything that may be a token."""
    return one_line(without_tokens(request.headers.get("User-Agent", "")), USER_AGENT_LENGTH)
