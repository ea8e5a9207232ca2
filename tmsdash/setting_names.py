"""Misspelt settings, which would leave an unintended default in force."""

import difflib
import os
from collections.abc import Iterator

from tmsdash import env, startup

# Read elsewhere: by make, the demo and the commands.
_OTHERS = frozenset({startup.TOKEN, "DEMO_ONCE", "HOST", "PORT", "TMS_PORT", "DJANGO_SETTINGS_MODULE"})
# Prefixes that many programs use: here only near misses of our own names are reported.
_COMMON_WORDS = frozenset({"BASE", "COOKIE", "DATABASE", "DEBUG", "ENV", "HTTPS", "SECRET", "TOKEN", "VAR"})
# What desktops, systemd and hosts of web applications set.
_FOREIGN = frozenset({"NOTIFY_SOCKET", "SESSION_MANAGER", "WEB_CONCURRENCY"})
_CLOSE = 0.85  # of difflib's ratio: one letter of five, or two of twelve


def misspelt() -> Iterator[str]:
    """Yield a sentence for each variable that looks like a setting but is not one. No value is shown."""
    prefixes = tuple({f"{name.split('_')[0]}_" for name in env.read_names} - {f"{word}_" for word in _COMMON_WORDS})
    for name in sorted({*os.environ, *env.file_lines} - env.read_names - _OTHERS - _FOREIGN):
        line = env.file_lines.get(name)
        near = difflib.get_close_matches(name.upper(), sorted(env.read_names), n=1, cutoff=_CLOSE)
        if line or near or name.startswith(prefixes):
            nearest = near or difflib.get_close_matches(name.upper(), sorted(env.read_names), n=1)
            guess = f" Is {nearest[0]} meant?" if nearest else ""
            yield f"{name}{f' ({line})' if line else ''} is no setting of this product, and does nothing.{guess}"
