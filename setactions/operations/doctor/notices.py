"""Whoever is told of things: what takes notices can be reached, and nothing waits to be sent for long.

Of a webhook and a mail server a connection is made and closed again; `notify --test` sends something.
"""

import socket
from functools import partial
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone

from setactions.operations.degraded import UNSENT_TOO_LONG_S
from setactions.operations.doctor.findings import Finding, Findings, Well
from setactions.operations.doctor.parallel import in_parallel
from setactions.operations.doctor.site import Site
from setactions.tms.unsent import reason_of
from tmsdash.models import Notice

CONNECT_S = 5.0
WAIT_S = 10.0
TRY = "manage.py notify --test"


def look(site: Site) -> Findings:
    """Yield which receiver cannot be reached, and what it has not taken."""
    receivers = [] if settings.TMS_PASSIVE else _receivers()  # a stand-by sends nothing
    if not receivers:
        yield Well("nobody is to be told of anything")
        return
    connected = in_parallel([partial(_why_not, host, port) for _, host, port in receivers], WAIT_S)
    for (name, host, port), why in zip(receivers, connected, strict=True):
        if why != "":
            sentence = f"{name}: no connection to {host}:{port}: {why or f'no answer within {WAIT_S:.0f} s'}."
            yield Finding("notices.unreachable", sentence, f"Correct {name} in .env, or open the firewall; then: {TRY}")
    if "default" in site.answering:
        yield from _waiting()
    yield Well(f"reached: {', '.join(name for name, *_ in receivers)}")


def _receivers() -> list[tuple[str, str, int]]:
    """Return the setting, the host and the port of each receiver; the rest of a webhook's address may be a secret."""
    receivers = []
    if settings.NOTIFY_WEBHOOK_URL:
        parts = urlsplit(settings.NOTIFY_WEBHOOK_URL)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        receivers.append(("NOTIFY_WEBHOOK_URL", parts.hostname or "", port))
    if settings.NOTIFY_EMAIL and settings.MAIL_SERVER:
        receivers.append(("EMAIL_URL", settings.MAIL_SERVER.host, settings.MAIL_SERVER.port))
    return receivers


def _why_not(host: str, port: int) -> str:
    """Return why no connection can be made, or nothing."""
    try:
        socket.create_connection((host.strip("[]"), port), timeout=CONNECT_S).close()
    except OSError as error:
        return reason_of(error)
    return ""


def _waiting() -> Findings:
    waiting = Notice.objects.filter(due_at__isnull=False).exclude(problem="").order_by("created_at")
    oldest = waiting.first()
    if oldest and (timezone.now() - oldest.created_at).total_seconds() > UNSENT_TOO_LONG_S:
        sentence = f"A notice by {oldest.channel} has not been taken since {oldest.created_at:%Y-%m-%d %H:%M} UTC: "
        yield Finding("notices.waiting", f"{sentence}{oldest.problem.rstrip('.')}.", TRY)
