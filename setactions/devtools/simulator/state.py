"""What all connections of one simulator share: its memory, and what its calls wait for."""

import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from .calls import Call, CallLog
from .fleet import Fleet


@dataclass(frozen=True, slots=True)
class World:
    """Everything that a reset forgets."""

    fleet: Fleet
    log: CallLog = field(default_factory=CallLog)
    script: deque[str] = field(default_factory=deque)
    """Faults that the next Set Actions take in order, whatever their tokens; "" for none."""

    def next_fault(self) -> str:
        """Take the next line off the script; an empty one leaves the choice to the token, as does the script's end."""
        with suppress(IndexError):
            return self.script.popleft()
        return ""

    def set_action(self, call: Call) -> object:
        """Carry out a call to set/action, note in the log whether it was accepted, and return TMS's answer."""
        answer = self.fleet.set_action(call.action, call.cids)
        if answer["success"]:
            self.log.mark_applied(call)
        return answer


class State:
    """The memory and the waiting calls of one simulator; safe to use from many threads."""

    def __init__(self, *, cids: Sequence[str] | None, latency_s: float) -> None:
        self.latency_s = latency_s
        self._cids = cids
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._stopping = threading.Event()
        self.reset()

    def reset(self) -> None:
        """Forget all calls and states; calls still under way finish in the old world, unseen."""
        self.world = World(Fleet(self._cids))

    def release(self) -> None:
        """End the waiting of all calls received so far; later ones wait again."""
        with self._lock:
            released, self._released = self._released, threading.Event()
        released.set()

    def start(self) -> None:
        """Allow calls to wait."""
        self._stopping.clear()

    def stop(self) -> None:
        """End the waiting of all calls, now and until the next start."""
        self._stopping.set()
        self.release()

    def waiting_room(self) -> "WaitingRoom":
        """Return a place to wait for one call.

        To be taken before the call is seen in the log, so that whoever sees it there can release it.
        """
        with self._lock:
            return WaitingRoom(self._released, self._stopping)


@dataclass(frozen=True, slots=True)
class WaitingRoom:
    """Lets one call wait, but never longer than until it is released."""

    _released: threading.Event
    _stopping: threading.Event

    def wait(self, seconds: float) -> None:
        """Wait; raise ConnectionAbortedError when the simulator stops meanwhile."""
        if not self._stopping.is_set():
            self._released.wait(seconds)
        if self._stopping.is_set():
            raise ConnectionAbortedError("the simulator stops")

    @property
    def is_released(self) -> bool:
        """Whether waiting is over for this call."""
        return self._released.is_set()
