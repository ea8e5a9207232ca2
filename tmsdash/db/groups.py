"""Callers within this process who wait for one of them to do the work of all: see audit.groups and jobs.groups.

There is no thread for it: a caller who finds nobody leading leads, and takes all that is waiting when its transaction
has begun; then the first of those who came meanwhile leads.
"""

import contextvars
import copy
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from django.db import Error as AnyDatabaseError
from django.db import OperationalError, transaction
from django.db.backends.utils import CursorWrapper

T = TypeVar("T")

OnFailure = Callable[[BaseException], None]


class Member(Generic[T]):
    """A caller's work, and what became of it."""

    def __init__(self, work: Callable[..., T], on_failure: OnFailure | None = None, *, alone: bool = False) -> None:
        self.on_failure = on_failure  # of work that nobody waits for
        self.alone = alone
        self.leads = False
        self.result: T
        self.error: BaseException | None = None
        self.added: Sequence[Any] = ()  # what the work added, for the log
        self.work, self._context = work, contextvars.copy_context()
        self._signal = threading.Lock()  # free once the caller leads, or its work is over
        self._signal.acquire()

    def carry_out(self, *arguments: Any) -> None:
        self.result = self._context.run(self.work, *arguments)

    def wait(self, wait_s: float = -1) -> bool:
        """Wait for at most so many seconds, -1 for as long as it takes; tell whether there was a signal."""
        return self._signal.acquire(timeout=wait_s)

    def signal(self) -> None:
        self._signal.release()

    def run(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function in the context of the caller, so that the log names the right request."""
        self._context.run(function, *arguments)

    def fail(self) -> None:
        """Tell whoever does not wait that it failed, if it did."""
        if self.on_failure and self.error:
            self._context.run(self.on_failure, self.error)


class Queue:
    """Those who wait, in the order in which they came, and whether somebody leads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Member[Any]] = []
        self._begun: list[Member[Any]] = []  # the group whose transaction runs
        self._is_led = False

    def join(self, member: Member[Any]) -> None:
        """Add a caller, who leads if nobody does."""
        with self._lock:
            self._waiting.append(member)
            if not self._is_led and not member.on_failure:
                self._is_led = member.leads = True

    def leave(self, member: Member[Any]) -> bool:
        """Withdraw a caller's work; False if it was begun, or the caller leads by now."""
        with self._lock:
            if member.leads or member not in self._waiting:
                return False
            self._waiting.remove(member)
            return True

    def take_group(self, leader: Member[Any]) -> list[Member[Any]]:
        """Take all that is waiting, but for work that goes alone: only its own caller takes it, and nothing else."""
        with self._lock:
            if leader.alone:
                self._begun = [leader]
                self._waiting.remove(leader)
            else:
                self._begun = [member for member in self._waiting if not member.alone]
                self._waiting = [member for member in self._waiting if member.alone]
            return self._begun

    def pass_on(self, leader: Member[Any]) -> None:
        """Let the next caller lead, unless this one did; its work is withdrawn, if it was not begun."""
        with self._lock:
            if not leader.leads:  # any more
                return
            leader.leads = False
            self._begun = []
            if leader in self._waiting:
                self._waiting.remove(leader)
            heir = next((member for member in self._waiting if not member.on_failure), None)
            self._is_led = heir is not None
            if heir:
                heir.leads = True
                heir.signal()

    def take_unhurried(self) -> list[Member[Any]]:
        with self._lock:
            unhurried = [member for member in self._waiting if member.on_failure]
            self._waiting = [member for member in self._waiting if not member.on_failure]
            return unhurried

    def has_unhurried(self) -> bool:
        with self._lock:
            return any(member.on_failure for member in (*self._begun, *self._waiting))


def await_turn(queue: Queue, member: Member[Any], using: str, wait_s: float) -> None:
    """Return once the work is over, or its caller leads; raise OperationalError if it was withdrawn instead.

    Whatever is raised, the caller has to `pass_on` the lead, which may have come at that moment.
    """
    try:
        if member.wait(max(0.0, wait_s)):
            return
        if not queue.leave(member):
            member.wait()
            return
    except BaseException:
        queue.leave(member)  # the caller is interrupted; what was begun goes on without it
        raise
    raise OperationalError(f"database {using!r} is busy: no turn to write within {wait_s:.1f} s")


def copy_of(error: BaseException, using: str) -> BaseException:
    """Return what another caller raises for the same error of the database."""
    if isinstance(error, KeyboardInterrupt):  # which only the main thread is to get
        return OperationalError(f"database {using!r} was not written: the thread that wrote it was interrupted")
    try:
        return copy.copy(error)  # without its traceback
    except TypeError:  # it cannot be made from its arguments
        return OperationalError(f"database {using!r} could not be written: {error}")


def tell_others(group: Iterable[Member[Any]], leader: Member[Any], failure: BaseException, using: str) -> None:
    """Let all others raise what the transaction failed with: each a copy, which leads back to no caller but its own."""
    for member in group:
        if member is not leader:
            member.error = copy_of(failure, using)


# -- Parts of a transaction that can be undone alone, by plain statements: a third of the cost of Django's blocks ------


class Parts:
    """The parts of the transaction in which a cursor is."""

    def __init__(self, cursor: CursorWrapper) -> None:
        self.cursor = cursor

    def begin_part(self) -> None:
        """Begin a part, which ends with `keep_part` or `undo_part`."""
        self.cursor.execute("SAVEPOINT part")

    def keep_part(self) -> None:
        """End a part that went well."""
        self.cursor.execute("RELEASE SAVEPOINT part")

    def undo_part(self) -> bool:
        """Undo all since `begin_part`; False if the transaction is lost, as by a full disk, and all of it is undone."""
        # Django takes nothing in a transaction that an error broke.
        transaction.set_rollback(False, using=self.cursor.db.alias)
        try:
            self.cursor.execute("ROLLBACK TO SAVEPOINT part")
        except AnyDatabaseError:
            return False
        self.keep_part()
        return True


def carry_out_apart(group: Sequence[Member[Any]], carry_out: Callable[[Member[Any]], None], parts: Parts) -> None:
    """Do the works of a group, each of which fails alone if it does. Who is alone needs no part of their own for that.

    As a rule none fails, so that one part is enough for all. If one does, all are undone, and each is done again in a
    part of its own: works that share transactions must come to the same when they are done twice.
    """
    if len(group) == 1:
        carry_out(group[0])
    elif not _all_succeed(group, carry_out, parts):
        for member in group:
            _all_succeed([member], carry_out, parts)


def _all_succeed(group: Sequence[Member[Any]], carry_out: Callable[[Member[Any]], None], parts: Parts) -> bool:
    """Do works in one part; False, and nothing of them is left, if one of them fails, which is noted as its error."""
    parts.begin_part()
    for member in group:
        member.error, member.added = None, ()
        try:
            carry_out(member)
        except Exception as error:
            if not parts.undo_part():
                raise
            member.error = error
            return False
    parts.keep_part()
    return True
