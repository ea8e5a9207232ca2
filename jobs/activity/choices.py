"""What Activity can be narrowed to, in the words of attempts and of batches at once."""

from django.db import models

from audit.choices import Outcome
from jobs.models import BatchChunk

State = BatchChunk.State


class ShownOutcome(models.TextChoices):
    """What became of something, as far as lists tell it apart; each outcome of an attempt belongs to one of them."""

    ACCEPTED = "accepted", Outcome.ACCEPTED.label
    REJECTED = "rejected", Outcome.REJECTED.label
    NOT_SENT = "not_sent", Outcome.NOT_SENT.label
    REFUSED = "refused", Outcome.REFUSED.label
    UNKNOWN = "unknown", "Unknown or being sent"
    NOT_APPLIED = "not_applied", "Not applied"
    OLD_FAILED = "old_failed", Outcome.LEGACY_FAILED.label
    OLD_UNKNOWN = "old_unknown", "Unknown to the old dashboard"

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The outcomes of attempts that it stands for."""
        return _OUTCOMES[self]

    @property
    def chunk_states(self) -> tuple[BatchChunk.State, ...]:
        """The states of chunks whose last attempt has such an outcome."""
        return _CHUNK_STATES.get(self, ())


class ShownSource(models.TextChoices):
    """Where something came from. A batch is one thing, whether a page or the command began it."""

    FORM = "form", "Form"
    API = "api", "Script"
    BATCH = "batch", "Batch, of a page or the command"
    LEGACY = "legacy", "Old dashboard, a job"
    LEGACY_LOG = "legacy_log", "Old dashboard, its audit log"


_OUTCOMES: dict[ShownOutcome, tuple[Outcome, ...]] = {
    ShownOutcome.ACCEPTED: (Outcome.ACCEPTED, Outcome.APPLIED, Outcome.DECIDED_APPLIED, Outcome.LEGACY_SUCCESS),
    ShownOutcome.REJECTED: (Outcome.REJECTED,),
    ShownOutcome.NOT_SENT: (Outcome.NOT_SENT,),
    ShownOutcome.REFUSED: (Outcome.REFUSED,),
    ShownOutcome.UNKNOWN: (Outcome.PENDING, Outcome.UNKNOWN),
    ShownOutcome.NOT_APPLIED: (Outcome.NOT_APPLIED, Outcome.DECIDED_NOT_APPLIED),
    ShownOutcome.OLD_FAILED: (Outcome.LEGACY_FAILED,),
    ShownOutcome.OLD_UNKNOWN: (Outcome.LEGACY_UNKNOWN,),
}
_CHUNK_STATES: dict[ShownOutcome, tuple[BatchChunk.State, ...]] = {
    ShownOutcome.ACCEPTED: (State.ACCEPTED,),
    ShownOutcome.REJECTED: (State.REJECTED, State.SET_ASIDE),
    ShownOutcome.NOT_SENT: (State.NOT_SENT,),
    ShownOutcome.REFUSED: (State.REFUSED,),
    ShownOutcome.UNKNOWN: (State.CALLING, State.UNKNOWN),
    ShownOutcome.NOT_APPLIED: (State.NOT_APPLIED,),
}
