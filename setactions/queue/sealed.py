"""How a run crosses the queue: sealed, with its token and all else that it may do, bound to its name, for a while."""

import uuid
from typing import Any

from django.views.decorators.debug import sensitive_variables

from tmsdash.seals import BrokenSealError, is_fresh, open_seal, seal


class TooOldError(BrokenSealError):
    """This was sealed too long ago, or by a host whose clock is far ahead."""


@sensitive_variables()
def seal_run(content: Any, purpose: str, carried_id: uuid.UUID, name: str) -> str:
    """Return what the tasks of a run of this name are given."""
    return seal(content, purpose, str(carried_id), name)


@sensitive_variables()
def unseal_run(sealed: str, purpose: str, carried_id: uuid.UUID, name: str) -> Any:
    """Return what was sealed for the run of this name; raises BrokenSealError, also once that was too long ago."""
    sealed_at, content = open_seal(sealed, purpose, str(carried_id), name)
    if not is_fresh(sealed_at):
        raise TooOldError("sealed too long ago")
    return content
