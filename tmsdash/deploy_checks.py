"""System checks of a production installation: readable files, unchecked connections, and what is lying around."""

import os
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register

from tmsdash.env import is_loopback


@register(Tags.security, deploy=True)
def check_env_file(**kwargs: Any) -> Iterator[CheckMessage]:
    """It may hold keys and database passwords."""
    file = settings.ENV_PATH
    if file is None or not file.stat().st_mode & 0o077:
        return
    yield Warning(
        f"Other users of this machine can read {file}.",
        hint="Give access to its owner only: chmod 600.",
        id="tmsdash.W040",
    )


@register(Tags.security, deploy=True)
def check_postgresql_tls(**kwargs: Any) -> Iterator[CheckMessage]:
    """If the server's certificate is not checked, anybody on the way can read and change what crosses the network."""
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
                "trust: your own, or the system's, on Debian /etc/ssl/certs/ca-certificates.crt.",
                id="tmsdash.W041",
            )


@register(Tags.security, deploy=True)
def check_installation(**kwargs: Any) -> Iterator[CheckMessage]:
    """A clone contains the whole history, tests and a simulated TMS, none of which a site needs."""
    if not (settings.BASE_DIR / ".git").exists():
        return
    yield Warning(
        f"{settings.BASE_DIR} is a clone: .git is next to manage.py.",
        hint="Install from an archive, as docs/operating.md shows under Install.",
        id="tmsdash.W042",
    )
