"""This host's clock, beside PostgreSQL's and the newest entry of the audit. `clusters` compares it with theirs."""

from datetime import timedelta

from django.db import connections
from django.utils import timezone

from audit.models import AuditEntry
from setactions.operations.doctor.findings import Finding, Findings, Well
from setactions.operations.doctor.site import Site
from tmsdash.db import clock

MOST = timedelta(seconds=60)
SET_CLOCK = "timedatectl set-ntp true (or start chrony)"


def look(site: Site) -> Findings:
    """Yield by how far this host's clock is wrong."""
    compared = []
    for alias in site.answering:
        if connections[alias].vendor == "postgresql":
            ahead = timezone.now() - clock.now(alias)
            if abs(ahead) > MOST:
                sentence = f"This host's clock is {in_words(ahead)} PostgreSQL's (database {alias!r})."
                yield Finding("clock.database", sentence, SET_CLOCK)
            compared.append("PostgreSQL")
    newest = AuditEntry.objects.order_by("-sequence").first() if "audit" in site.answering else None
    if newest is not None:
        ahead = newest.created_at - clock.now("audit")
        if ahead > MOST:
            sentence = (
                f"The audit's newest entry is {ahead.total_seconds():,.0f} s in the future: a clock was or is wrong."
            )
            yield Finding("clock.audit", sentence, f"{SET_CLOCK}; on every host of the site.")
        compared.append("the audit's newest entry")
    yield Well(f"fits {' and '.join(dict.fromkeys(compared))}" if compared else "compared with nothing")


def in_words(ahead: timedelta) -> str:
    """Return a difference as in `90 s ahead of`."""
    return f"{abs(ahead.total_seconds()):,.0f} s {'ahead of' if ahead > timedelta() else 'behind'}"
