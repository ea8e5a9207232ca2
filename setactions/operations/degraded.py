"""What is wrong with a site that works: what /health tells whoever presents METRICS_TOKEN."""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from django.db import Error as AnyDatabaseError
from django.db import connections

from audit.figures import count_open_before
from setactions.operations.notifications.outbox import failing
from tmsdash import timers
from tmsdash.db import clock
from tmsdash.db.sqlite_files import free_bytes
from tmsdash.db.transactions import MIN_FREE_BYTES, drop_if_broken
from tmsdash.text import counted

OPEN_TOO_LONG = timedelta(minutes=15)  # in which `reconcile` should have closed it, or somebody have decided
UNSENT_TOO_LONG_S = 15 * 60  # for a receiver that is being restarted
NEARLY_FULL_BYTES = 1 << 30  # an upgrade makes tables anew, beside the old ones

logger = logging.getLogger(__name__)


def reasons() -> list[str]:
    """Return a sentence about each thing that somebody should look at; a database that fails now is one of them."""
    return [
        *_told("default", _late_timers),
        *_told("default", _unsent_notices),
        *_told("audit", _open_attempts),
        *_full_disks(),
    ]


def _told(alias: str, sentences: Callable[[], Iterator[str]]) -> list[str]:
    try:
        with drop_if_broken(alias):
            return [*sentences()]
    except (AnyDatabaseError, ValueError) as error:  # a database may hold what is no time
        logger.error("[HEALTH] database %s does not answer: %s", alias, error)
        return [f"Database {alias} does not answer."]


def _late_timers() -> Iterator[str]:
    yield from (state.in_words for state in timers.needing_attention())


def _unsent_notices() -> Iterator[str]:
    notices = failing()
    if notices.oldest_s > UNSENT_TOO_LONG_S:
        yield (
            f"{counted(notices.count, 'notice')} could not be sent, the oldest for {notices.oldest_s / 60:,.0f} "
            "minutes. Look for [NOTIFY] in the log, and run manage.py notify --test."
        )


def _open_attempts() -> Iterator[str]:
    if count := count_open_before(clock.now("audit") - OPEN_TOO_LONG):
        minutes = OPEN_TOO_LONG.total_seconds() / 60
        yield (
            f"{counted(count, 'attempt')} open or in doubt for more than {minutes:.0f} minutes. Look at In doubt, and "
            "run manage.py reconcile with a token."
        )


def _full_disks() -> Iterator[str]:
    least: dict[Path, int] = {}
    for connection in connections.all():
        with suppress(OSError):
            if (free := free_bytes(connection)) is not None and free < NEARLY_FULL_BYTES:
                least[Path(str(connection.settings_dict["NAME"])).parent] = free
    for folder, free in least.items():
        yield (
            f"Only {free >> 20:,} MiB are free on the disk of {folder}. Below {MIN_FREE_BYTES >> 20} MiB no Set Action "
            "is started."
        )
