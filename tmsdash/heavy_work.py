"""Work on long lists, of which a process does one at a time, so that it needs the memory for one.

A fleet's list takes 4 MB while TMS is asked, but 20 more while it is read, compared and written. Only memory is at
stake, and no promise:

1. Who has not begun waits for some seconds, then is refused: nothing was sent. So is who finds many waiting: threads
   that wait answer no pages.
2. While TMS is asked, and until its answer is in the audit, the others have their turn.
3. After that, whoever returns goes before those who have not begun, and on without a turn rather than wait for long.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tmsdash.processes import trim

WAIT_S = 20.0
RETURN_WAIT_S = 2.0
MOST_WAITING = 16


class Busy(Exception):
    """The turn did not come; nothing was done."""


class _Thread(threading.local):
    has_turn = False


_changed = threading.Condition()
_thread = _Thread()
_is_taken = False
_waiting = _returning = 0  # how many have not begun, and how many have had the turn before


@contextmanager
def turn() -> Iterator[None]:
    """Hold the turn during the block, if this thread does not already.

    Raises Busy after WAIT_S seconds, or at once if MOST_WAITING wait already.
    """
    if _thread.has_turn:
        yield
        return
    if not _take(WAIT_S):
        raise Busy
    try:
        yield
    finally:
        _give()


@contextmanager
def others_first() -> Iterator[None]:
    """Give the turn to others during the block, if this thread has it; then it returns, if need be without a turn."""
    had_turn = _give()
    try:
        yield
    finally:
        if had_turn:
            _take(RETURN_WAIT_S, returns=True)


def detach() -> bool:
    """Take the turn from this thread for `attached` in another one, and tell whether it had it. Nobody else gets it."""
    had_turn, _thread.has_turn = _thread.has_turn, False
    return had_turn


@contextmanager
def attached(had_turn: bool) -> Iterator[None]:
    """Hold the turn that another thread has detached, if it had it, until it is given up in the block or after it."""
    _thread.has_turn = had_turn
    try:
        yield
    finally:
        _give()


def _take(wait_s: float, *, returns: bool = False) -> bool:
    global _is_taken, _waiting, _returning
    with _changed:
        if not returns and _waiting >= MOST_WAITING:
            return False
        _waiting += not returns
        _returning += returns
        try:
            _thread.has_turn = _changed.wait_for(lambda: not _is_taken and (returns or not _returning), wait_s)
            _is_taken = _is_taken or _thread.has_turn
        finally:
            _waiting -= not returns
            _returning -= returns
            if not _thread.has_turn:
                _changed.notify_all()  # those who stood behind this one
    return _thread.has_turn


def _give() -> bool:
    """Give the turn back, and tell whether this thread had it."""
    global _is_taken
    had_turn = _thread.has_turn
    if had_turn:
        trim()  # what the next one takes, it takes from the system
        with _changed:
            _is_taken = _thread.has_turn = False
            _changed.notify_all()
    return had_turn
