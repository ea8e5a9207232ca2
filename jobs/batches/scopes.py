"""What a further run of a batch may send. What is unknown is in no scope: nobody knows whether it was applied."""

from enum import Enum

from jobs.models import BatchChunk

State = BatchChunk.State


class Scope(Enum):
    """How much a run sends; each value holds the states of the chunks that it makes a new try of."""

    WAITING = frozenset[State]()
    REST = frozenset({State.REFUSED, State.NOT_SENT, State.NOT_APPLIED})  # certainly not applied
    REST_WITHOUT_UNKNOWN_IDS = frozenset({State.REFUSED, State.NOT_SENT, State.NOT_APPLIED, State.SET_ASIDE})

    @property
    def states(self) -> frozenset[State]:
        """The states of all chunks that a run with this scope sends."""
        return self.value | {State.WAITING}
