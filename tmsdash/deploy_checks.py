"""System checks of an installation that is to serve: files that others can read, connections, what lies beside it."""

import os
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register

from tmsdash.env import is_loopback


@register(Tags.security, deploy=True)
def check_env_file(**kwargs: Any) -> Iterator[CheckMessage]:
    """It may hold keys, and passwords of databases."""
    file = settings.ENV_PATH
    if file is None or not file.stat().st_mode & 0o077:
        return
    yield Warning(
        f"Other users of this machine can read {file}.",
        hint="Give nobody but its owner access: chmod 600.",
        id="tmsdash.W040",
    )


@register(Tags.security, deploy=True)
def check_postgresql_tls(**kwargs: Any) -> Iterator[CheckMessage]:
    """Without a check of the server's certificate, whoever is on the way reads and changes what crosses the network."""
    usual = os.environ.get("PGSSLMODE", "prefer")  # as libpq has it
    for alias, described in settings.DATABASES.items():
        host = described.get("HOST") or ""
        is_remote = host != "" and not host.startswith("/") and not is_loopback(host)  # else a socket, or loopback
        if described["ENGINE"] != "django.db.backends.postgresql" or not is_remote:
            continue
        mode = described.get("OPTIONS", {}).get("sslmode", usual)
        if mode != "verify-full":
            yield Warning(
                f"Database {alias!r}: the connection to {host} does not check the server (sslmode is {mode}).",
                hint="Append ?sslmode=verify-full&sslrootcert=FILE to its URL, FILE holding the authorities to "
                "believe: your own, or the system's, on Debian /etc/ssl/certs/ca-certificates.crt.",
                id="tmsdash.W041",
            )


@register(Tags.security, deploy=True)
def check_installation(**kwargs: Any) -> Iterator[CheckMessage]:
    """A clone holds the whole history, tests and a simulated TMS, none of which a site needs."""
    if not (settings.BASE_DIR / ".git").exists():
        return
    yield Warning(
        f"{settings.BASE_DIR} is a clone: .git lies beside manage.py.",
        hint="Install from an archive, as docs/operating.md shows under Install.",
        id="tmsdash.W042",
    )
