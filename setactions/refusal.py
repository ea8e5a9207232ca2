"""The exception for everything that stops a Set Action before anything is sent."""

import uuid
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Refusal(Exception):
    """Stopped by us: nothing was sent.

    `code` is its HTTP status, `errors` maps a field to its sentences, each with the next step. Sentences never quote
    what was submitted: it might be a token in the wrong field. `duplicate_of` and `overlap` name what
    asked for the same customers before, see setactions.overlap. `retry_after_s` is set when there is only no room yet,
    in seconds until it is worth trying again.
    """

    def __init__(
        self,
        code: int,
        field: str,
        *messages: str,
        duplicate_of: uuid.UUID | None = None,
        overlap: dict[str, Any] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(messages[0])
        self.code = code
        self.errors: dict[str, list[str]] = {field: list(messages)}
        self.duplicate_of = duplicate_of
        self.overlap = overlap
        self.retry_after_s = retry_after_s

    @property
    def message(self) -> str:
        """All sentences as one text."""
        return " ".join(sentence for sentences in self.errors.values() for sentence in sentences)


class AuditUnavailable(Refusal):
    """The audit cannot be written, so this refusal cannot be recorded either."""


class Unverified(Refusal):
    """What a page sent back is not what this site gave to this user for this purpose."""


class Checks:
    """Runs several checks and collects what each refuses, so that one answer can name it all."""

    def __init__(self) -> None:
        self._refusals: list[Refusal] = []

    def run(self, check: Callable[[], T]) -> T | None:
        """Return what `check` returns, or None if it raised a Refusal."""
        try:
            return check()
        except Refusal as refusal:
            self._refusals.append(refusal)
            return None

    def finish(self) -> None:
        """Raise one Refusal with the errors of all, under the highest code."""
        if self._refusals:
            worst = max(self._refusals, key=lambda refusal: refusal.code)
            for refusal in self._refusals:
                worst.errors |= refusal.errors
            raise worst
