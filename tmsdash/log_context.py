"""The attempt and the batch that the running code works on, for the lines that it logs as JSON.

Each thread begins without; one that goes on with another's work gets a copy of its context.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_attempt_id: ContextVar[str] = ContextVar("attempt_id", default="")
_batch_id: ContextVar[str] = ContextVar("batch_id", default="")


@contextmanager
def about(*, attempt_id: uuid.UUID | str = "", batch_id: uuid.UUID | str = "") -> Iterator[None]:
    """Let what is logged in the block name an attempt, a batch, or both; what is not given stays as it is."""
    given = [(_attempt_id, attempt_id), (_batch_id, batch_id)]
    before = [(variable, variable.set(str(value))) for variable, value in given if value]
    try:
        yield
    finally:
        for variable, token in before:
            variable.reset(token)


def current_attempt_id() -> str:
    """Return the id of the attempt that this code works on, or "" outside of one."""
    return _attempt_id.get()


def current_batch_id() -> str:
    """Return the id of the batch that this code works on, or "" outside of one."""
    return _batch_id.get()
