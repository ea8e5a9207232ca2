"""Somebody's explicit word to send customers again that were asked for already, and what it was given for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from audit.choices import CHUNK_SOURCES
from audit.digests import digest
from audit.models import Attempt
from audit.selectors import opening_body
from jobs.models import Batch


@dataclass(frozen=True)
class Word:
    """Somebody's explicit word to send these customers again that were asked for already; None is any customer.

    It covers the attempts up to the one with the primary key `newest`, the last that was named: attempts at the same
    action on the same cluster are opened one after the other, so none before it was missed. And it covers these
    `batches`, by their ids, whenever their chunks are sent.
    """

    newest: int = 0
    batches: frozenset[str] = frozenset()
    cids: frozenset[str] | None = frozenset()

    def __bool__(self) -> bool:
        return self != NO_WORD

    def covers(self, attempt: Attempt, cids: frozenset[str]) -> bool:
        """Tell whether these customers of an attempt may be sent again."""
        if self.cids is None:
            return True
        is_chunk = bool(self.batches) and attempt.source in CHUNK_SOURCES
        is_named = attempt.pk <= self.newest or (is_chunk and opening_body(attempt)["batch_id"] in self.batches)
        return is_named and cids <= self.cids

    def covers_batch(self, batch: Batch, cids: frozenset[str]) -> bool:
        """Tell whether these customers of a batch may be sent again."""
        return self.cids is None or (str(batch.batch_id) in self.batches and cids <= self.cids)


NO_WORD = Word()
ANY_WORD = Word(cids=None)  # of whoever sends again without having looked


@dataclass(frozen=True)
class Named:
    """What a page named as asked for already, short enough to come back with it: a digest stands for the customers."""

    newest: int = 0
    batches: frozenset[str] = frozenset()
    digest: str = ""

    def word(self, cids: Sequence[str]) -> Word:
        """Return the word of a user who saw this: none if `cids`, asked for already by now, are other customers."""
        is_same = bool(self) and digest_of(cids) == self.digest
        return Word(self.newest, self.batches, frozenset(cids)) if is_same else NO_WORD

    @classmethod
    def parse(cls, text: str) -> "Named":
        """Return what a page sends back as `text`; what makes no sense named nothing."""
        if not re.fullmatch(r"[0-9]{1,18} [0-9a-f]{64}( [0-9a-f-]{36})*", text, re.ASCII):
            return cls()
        newest, digest_of_cids, *batches = text.split(" ")
        return cls(int(newest), frozenset(batches), digest_of_cids)

    def __bool__(self) -> bool:
        return bool(self.digest)

    def __str__(self) -> str:
        return " ".join([str(self.newest), self.digest, *sorted(self.batches)])


def digest_of(cids: Sequence[str]) -> str:
    """Return what lists of the same customers share, in whatever order; "" if there are none."""
    return digest(sorted(cids)) if cids else ""
