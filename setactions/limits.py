"""How much Set Actions may ask of this server and of TMS at once, and whether it may send at all.

Every limit on the load of Set Actions is here, and raises a Refusal that says when to try again: calls in flight,
reads, batches, app status runs, refusals to audit, and passive mode. A limit that protects a lower app is that app's
own, beside the work that it bounds, because nothing below may import this module: exports of the audit in
`audit.exports`, hashing of passwords in `tmsdash.passwords.hashing`, bodies still arriving in `tmsdash.web.middleware`,
work on long lists in `tmsdash.heavy_work`. How long a list or a file may be is for `setactions.inputs`, as part of
reading it. All workers of a server count together; a command counts for itself. Where hosts share an audit on
PostgreSQL, calls, if TMS_MAX_IN_FLIGHT is set, refusals and exports are counted for all of them together, too, by what
the audit knows of them.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings

from audit.rates import is_refused_too_often
from setactions.permissions import may_set_action
from setactions.refusal import Refusal
from tmsdash import heavy_work
from tmsdash.db.bulk import LONG_LIST
from tmsdash.rates import Rate
from tmsdash.server import shared
from tmsdash.server.shared import Cell, add, take_place

# An answer to a read may have 64 MiB; this many at once fit into the memory of a small machine.
READS_AT_ONCE = 8

BUSY_S = 10  # until it is worth asking for room again: calls take seconds

BEGINNING_S = 60  # of a worker, within which a Set Action waits for room
PATIENCE_S = 10  # for so long; the thread that waits is kept from pages
LOOK_S = 0.05

BATCHES_AT_ONCE = 8
WORKERS_PER_BATCH = 16
APP_RUNS_AT_ONCE = 4  # those of one cluster share its pace, so more of them would only take longer

# Each refusal leaves an entry in the audit for good. Operators leave entries anyway, and a script of theirs may run
# through a whole list of wrong bodies; nobody else has a reason to try more often than a person clicks.
REFUSALS_PER_MINUTE = 3000
REFUSALS_PER_MINUTE_WITHOUT_PERMISSION = 60

TOO_MANY_CALLS = "too many calls are in flight. Try again in a minute."

refusals = Rate("refusals")


def check_active() -> None:
    """Raise Refusal (503) if this server is a stand-by: it neither sends nor decides anything."""
    if settings.TMS_PASSIVE:
        raise Refusal(503, "request", "This server is in passive mode and sends nothing. Use the active one.")


@contextmanager
def call_slot() -> Iterator[None]:
    """Hold one of the server's TMS_MAX_IN_FLIGHT slots, of which a worker has CALLS_PER_WORKER at most.

    Raises Refusal (503) when all are taken. Just after its start a server waits for one a little: whoever came while
    there was none comes at once.
    """
    patience_s = PATIENCE_S if time.monotonic() - shared.joined_at < BEGINNING_S else 0
    with _slot(Cell.CALLS, settings.TMS_MAX_IN_FLIGHT, TOO_MANY_CALLS, settings.CALLS_PER_WORKER, patience_s):
        yield


def no_room() -> Refusal:
    """Return what is said when as many calls are in flight on all hosts as may be."""
    return _busy(TOO_MANY_CALLS)


@contextmanager
def read_slot() -> Iterator[None]:
    """Hold one of the server's READS_AT_ONCE slots; raises Refusal (503) when all are taken."""
    with _slot(Cell.READS, READS_AT_ONCE, "too many reads are running. Try again in a minute."):
        yield


@contextmanager
def turn_of_long_list(count: int) -> Iterator[None]:
    """Work on a list of so many ids while no other thread of this process works on a long one; short ones never wait.

    Raises Refusal (503) if the turn does not come soon.
    """
    if count <= LONG_LIST:
        yield
        return
    try:
        with heavy_work.turn():
            yield
    except heavy_work.Busy:
        raise _busy("other long lists come first. Try again in a minute.") from None


@contextmanager
def batch_slot() -> Iterator[None]:
    """Hold one of the server's BATCHES_AT_ONCE slots, in any thread; raises Refusal (503) when all are taken."""
    why = f"{BATCHES_AT_ONCE} batches are running here already. Go on when one of them is done."
    with _slot(Cell.BATCHES, BATCHES_AT_ONCE, why):
        yield


@contextmanager
def app_run_slot() -> Iterator[None]:
    """Hold one of the server's APP_RUNS_AT_ONCE slots, in any thread; raises Refusal (503) when all are taken."""
    why = f"{APP_RUNS_AT_ONCE} app status runs are running here already. Begin when one of them is done."
    with _slot(Cell.APP_RUNS, APP_RUNS_AT_ONCE, why):
        yield


def check_refusal_rate(user: Any) -> None:
    """Count a refusal that is about to be recorded; raises Refusal (429) if this user had too many within a minute."""
    per_minute = REFUSALS_PER_MINUTE if may_set_action(user) else REFUSALS_PER_MINUTE_WITHOUT_PERMISSION
    name = user.get_username()
    if not refusals.take(name, per_minute) or is_refused_too_often(name, per_minute):
        raise Refusal(
            429,
            "request",
            f"More than {per_minute} of your requests were refused within a minute. Nothing was sent to TMS. "
            "Wait a minute, then send only what is right.",
        )


@contextmanager
def _slot(cell: Cell, at_most: int, why: str, at_most_here: int | None = None, patience_s: float = 0) -> Iterator[None]:
    give_up = time.monotonic() + patience_s
    while not take_place(cell, at_most, at_most_here):
        if time.monotonic() >= give_up:
            raise _busy(why)
        time.sleep(LOOK_S)  # the places are other processes', too: there is no event to wait for
    try:
        yield
    finally:
        add(cell, -1)


def _busy(why: str) -> Refusal:
    return Refusal(503, "request", f"The dashboard is busy: {why}", retry_after_s=BUSY_S)
