"""The calls that the simulator received, in the order in which they came."""

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Call:
    """One received call. The bearer token is a secret and therefore not part of it."""

    number: int
    """Counts from 1, in the order of arrival."""
    method: str
    path: str
    """As sent, without the query."""
    action: str
    """As spelled by the caller; empty for reads and for bodies that could not be understood."""
    cids: tuple[str, ...]
    """The customers named, in order; ``("ALL",)`` when a read asks for all of them."""
    fault: str
    """The name of the fault that the token chose, without its argument; empty for none."""
    applied: bool
    """Whether this call has changed the customers' state, whatever its answer says."""
    received_at: datetime
    """In UTC."""

    def as_json(self) -> dict[str, object]:
        """Return the same fields, with the time in ISO 8601."""
        return asdict(self) | {"received_at": self.received_at.isoformat()}


class CallLog:
    """Calls in the order of their arrival; safe to use from many threads."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._changed = threading.Condition()

    def add(self, method: str, path: str, action: str, cids: tuple[str, ...], fault: str) -> Call:
        """Record a call that has just come in and is not applied yet."""
        with self._changed:
            call = Call(len(self._calls) + 1, method, path, action, cids, fault, False, datetime.now(UTC))
            self._calls.append(call)
            self._changed.notify_all()
        return call

    def mark_applied(self, call: Call) -> None:
        """Note that a call of this log has changed the customers' state."""
        with self._changed:
            self._calls[call.number - 1] = replace(call, applied=True)
            self._changed.notify_all()

    def snapshot(self) -> list[Call]:
        """Return a copy of what has been recorded so far."""
        with self._changed:
            return list(self._calls)

    def wait_for(self, condition: Callable[[list[Call]], bool], timeout_s: float) -> list[Call]:
        """Wait until the calls fulfil the condition, and return them; raise TimeoutError after `timeout_s` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(list(self._calls)), timeout_s):
                raise TimeoutError(f"the simulator's calls are not as awaited after {timeout_s} s: {self._calls}")
            return list(self._calls)
