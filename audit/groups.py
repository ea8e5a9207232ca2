"""Group commit: writers of the audit within this process share one transaction, with one flush of the disk.

The rules:

1. Nobody is answered before their work is committed.
2. Work that fails is rolled back alone; what the transaction itself fails with, all of its group are told. As a rule
   none fails, and only when one does, each gets a SAVEPOINT of its own: then all works of its group are done again.
3. Who has waited too long withdraws work that has not begun, or else learns what became of it: never both.
4. While the chain is locked there is nothing but SQL and HMAC. Work is prepared before, and logged after, by each
   caller for itself: the next group waits for no lines.

There is no thread for it: a caller who finds nobody leading leads. A leader begins the transaction, with its own wait,
and only then takes all that is waiting by that time; so groups grow while others wait for the lock or the disk, and who
is alone waits for nobody. Then the first of those who came meanwhile leads. Each work runs in the context of its own
caller, so that the log names the right request, but on the leader's connection, which is the only one that is needed.

On PostgreSQL, too, the head of the chain is locked before anything else: groups of several processes follow each other,
and none can wait for a lock of another, in whatever order their works touch rows. What comes after sees all that was
committed before, so no work needs a lock of its own.

Work that nobody waits for rides in the next group. If none comes within LINGER_S, a thread leads one.
"""

import atexit
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from django.db import Error as AnyDatabaseError
from django.db import connections

from audit.chain import DATABASE, ChainEnd, log_anchors
from tmsdash.db.groups import Member, OnFailure, Queue, await_turn, carry_out_apart, copy_of, tell_others
from tmsdash.db.transactions import drop_if_broken, write_transaction
from tmsdash.kill_points import kill_point

LINGER_S = 0.1  # that work for which nobody waits may wait for others
FLUSH_WAIT_S = 4.0  # for locks, until it is given back as not written
AT_EXIT_WAIT_S = 2.0

logger = logging.getLogger(__name__)
T = TypeVar("T")

Work = Callable[[ChainEnd], T]

_queue = Queue()


def write(work: Work[T], wait_s: float, *, alone: bool = False) -> T:
    """Do `work` in a transaction on the audit, at the end of its chain; return what it returns, once it is committed.

    Work on a long list goes `alone`: to undo a part of a transaction, SQLite keeps in memory what each page held that
    it changes. Raises what `work` raises; OperationalError if it did not begin within `wait_s` seconds; and whatever
    the database raises. Nothing of it is written then.
    """
    until = time.monotonic() + wait_s
    member = Member(work, alone=alone)
    _queue.join(member)
    try:
        if not member.leads:
            await_turn(_queue, member, DATABASE, wait_s)
        if member.leads:
            _lead(member, until)
    except BaseException:
        _queue.pass_on(member)  # whatever happened, unless it did
        raise
    if member.error is not None:
        raise member.error
    log_anchors(member.added)
    return member.result


def _lead(leader: Member[Any], until: float) -> None:
    """Carry out all that is waiting by the time that the transaction has begun, and answer."""
    group: list[Member[Any]] = []
    try:
        with write_transaction(DATABASE, max(0.0, until - time.monotonic())):
            end = ChainEnd()
            group = _queue.take_group(leader)
            carry_out_apart(group, partial(_carry_out, end=end), end)
            end.save()
            kill_point("audit: group written, not committed")
        kill_point("audit: group committed, not answered")
    except BaseException as failure:
        tell_others(group, leader, failure, DATABASE)
        raise
    finally:
        _queue.pass_on(leader)
        for member in group:
            if member is not leader:
                member.signal()
        for member in group:  # once everybody is answered
            member.fail()
    for member in group:
        if member.on_failure:  # whoever waits logs by itself
            member.run(log_anchors, member.added)


def _carry_out(member: Member[Any], end: ChainEnd) -> None:
    count = len(end.added)
    member.carry_out(end)
    member.added = end.added[count:]


# -- Work that nobody waits for ---------------------------------------------------------------------------------------


def write_later(work: Work[object], on_failure: OnFailure) -> None:
    """Do `work` with the next group, soon; `on_failure` is called, by whichever thread, with what it failed with."""
    _queue.join(Member(work, on_failure))
    see_to_flush()


def flush(wait_s: float) -> None:
    """Return once nothing is left of what `write_later` was given: it is written, or was given back as not written."""
    if not _queue.has_unhurried():
        return
    try:
        with drop_if_broken(DATABASE):
            write(_nothing, wait_s)
    except AnyDatabaseError as error:
        for member in _queue.take_unhurried():
            member.error = copy_of(error, DATABASE)
            member.fail()


def _nothing(end: ChainEnd) -> None:
    """The work of who only wants others' to be done."""


class _Flusher:
    """The thread that leads when nobody else does. It begins with the first work that needs it."""

    def __init__(self) -> None:
        self._is_needed = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def see_to_flush(self) -> None:
        self._is_needed.set()
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # it is not in a process that was forked
                self._thread = threading.Thread(target=self._run, name="audit-flush", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError as error:  # the system allows no more threads: the next group takes it
                    logger.warning("[AUDIT] what nobody waits for stays until others write: %s", error)

    def _run(self) -> None:
        while True:
            self._is_needed.wait()
            self._is_needed.clear()
            time.sleep(LINGER_S)  # for others to come: if a group does, nothing is left to flush
            flush(FLUSH_WAIT_S)
            connections[DATABASE].close_if_unusable_or_obsolete()


see_to_flush = _Flusher().see_to_flush


@atexit.register
def _flush_at_exit() -> None:
    with suppress(AnyDatabaseError):  # reconcile adds it from the Job
        flush(AT_EXIT_WAIT_S)
