"""One TMS call under way, as a fault gets hold of it."""

from collections.abc import Callable
from dataclasses import dataclass

from .calls import Call
from .reply import Reply
from .state import WaitingRoom


@dataclass(frozen=True, slots=True)
class Exchange:
    """A call that was understood and recorded, but is neither applied nor answered yet."""

    call: Call
    token: str
    reply: Reply
    waiting_room: WaitingRoom
    carry_out: Callable[[], object]
    """Does what the call asks for, and returns TMS's answer as a JSON value. A set/action that is accepted
    changes the customers' state and marks the call as applied; a read only reads."""
