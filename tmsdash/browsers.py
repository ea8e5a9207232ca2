"""Browsers by the name that a person knows."""

import re

from tmsdash.text import one_line

LENGTH = 60
# The first that fits: most browsers also say that they are one of those further down.
_BROWSERS = {
    "Edge": r"Edg(?:e|A|iOS)?/(\d+)",
    "Opera": r"OPR/(\d+)",
    "Samsung Internet": r"SamsungBrowser/(\d+)",
    "Firefox": r"(?:Firefox|FxiOS)/(\d+)",
    "Chrome": r"(?:Chrome|CriOS|HeadlessChrome)/(\d+)",
    "Safari": r"Version/(\d+)[^ ]* (?:Mobile/[^ ]* )?Safari/",
}
_SYSTEMS = {
    "Windows": "Windows",
    "Android": "Android",
    "iPhone": "iPhone|iPod",
    "iPad": "iPad",
    "macOS": "Macintosh",
    "ChromeOS": "CrOS",
    "Linux": "Linux",
}


def browser_name(user_agent: str) -> str:
    """Return a browser's name, version and system, such as "Firefox 128 on Windows".

    What is no browser is named as it names itself, shortened.
    """
    for name, pattern in _BROWSERS.items():
        if version := re.search(pattern, user_agent):
            system = next((name for name, pattern in _SYSTEMS.items() if re.search(pattern, user_agent)), "")
            return f"{name} {version[1]}" + (f" on {system}" if system else "")
    return one_line(user_agent, LENGTH) or "not named"
