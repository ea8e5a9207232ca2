"""A run of a batch in the queue, and how it crosses that: sealed, with its token and all else that it may do."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.views.decorators.debug import sensitive_variables

from audit.actors import Actor
from audit.bodies import Compared
from audit.choices import Source
from setactions.queue.liveness import begun_at_of
from setactions.queue.sealed import seal_run, unseal_run
from setactions.token import Token
from setactions.word import Word

_PURPOSE = "setactions.run"


@dataclass(frozen=True)
class Run:
    """One run of a batch: who it sends for, with what word, and in how many tasks.

    It is checked afterwards with `check`; `compared` is what its user was shown before.
    """

    batch_id: uuid.UUID
    name: str
    actor: Actor
    token: Token
    word: Word
    tasks: int
    check: bool = False
    compared: Compared | None = None

    @property
    def carried_id(self) -> uuid.UUID:
        """What it carries."""
        return self.batch_id

    @property
    def begun_at(self) -> datetime:
        """When it has begun; a run that was handed over goes on."""
        return begun_at_of(self.name)

    @sensitive_variables()
    def sealed(self) -> str:
        """Return the run sealed for its tasks."""
        actor, word = self.actor, self.word
        cids = None if word.cids is None else sorted(word.cids)
        content = {
            "token": self.token.reveal(),
            "actor": [actor.user_id, actor.ip_address, actor.source or "", actor.run_by],
            "word": [word.newest, sorted(word.batches), cids],
            "tasks": self.tasks,
            "check": self.check,
            "compared": self.compared,
        }
        return seal_run(content, _PURPOSE, self.batch_id, self.name)

    @classmethod
    @sensitive_variables()
    def unsealed(cls, batch_id: uuid.UUID, name: str, sealed: str) -> "Run":
        """Return what was sealed for a task of this run; raises BrokenSealError, also once that was too long ago."""
        content = unseal_run(sealed, _PURPOSE, batch_id, name)
        user_id, ip_address, source, run_by = content["actor"]
        newest, batches, cids = content["word"]
        actor = Actor(user_id=user_id, ip_address=ip_address, source=Source(source) if source else None, run_by=run_by)
        word = Word(newest, frozenset(batches), None if cids is None else frozenset(cids))
        check, compared = content.get("check", True), content.get("compared")  # runs of older versions lack them
        return cls(batch_id, name, actor, Token(content["token"]), word, content["tasks"], check, compared)
