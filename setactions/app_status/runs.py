"""An app status run in the queue, and how it crosses that: sealed, with its token."""

import uuid
from dataclasses import dataclass

from django.views.decorators.debug import sensitive_variables

from setactions.queue.sealed import seal_run, unseal_run
from setactions.token import Token

_PURPOSE = "setactions.app_run"


@dataclass(frozen=True)
class Run:
    """One run of an app status run, which has the token of its user. One task of it goes round: reads have a pace."""

    run_id: uuid.UUID
    name: str
    token: Token
    tasks: int = 1

    @property
    def carried_id(self) -> uuid.UUID:
        """What it carries."""
        return self.run_id

    @sensitive_variables()
    def sealed(self) -> str:
        """Return the run sealed for its tasks."""
        return seal_run({"token": self.token.reveal()}, _PURPOSE, self.run_id, self.name)

    @classmethod
    @sensitive_variables()
    def unsealed(cls, run_id: uuid.UUID, name: str, sealed: str) -> "Run":
        """Return what was sealed for a task of this run; raises BrokenSealError, also once that was too long ago."""
        content = unseal_run(sealed, _PURPOSE, run_id, name)
        return cls(run_id, name, Token(content["token"]))
