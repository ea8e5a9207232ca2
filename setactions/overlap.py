"""The guard against sending twice: which customers of a list were asked for already, and what is said of that.

It counts customers, not lists: a list that was sorted, cut or made longer is the same to those who are on it. An
action was asked for already if a customer is part of an attempt that is open, of a batch that runs or is paused, or of
an attempt that TMS accepted within TMS_DUPLICATE_WINDOW_S. It is decided where it cannot change meanwhile:

- every attempt is compared with all other attempts in the transaction that writes its INTENT;
- a batch is compared as a whole before it goes on, and a single attempt with the batches that are open;
- for chunks the window begins that long before their batch was made. So whatever came in between its comparison and
  its chunk is seen then, however long the batch takes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from audit.choices import Action
from audit.models import Attempt
from audit.overlap import attempts_sharing
from jobs.batches.overlap import batches_sharing, open_batches
from jobs.models import Batch
from setactions.refusal import Refusal
from tmsdash.text import counted

CIDS_IN_JSON = 100
SENTENCES = 5  # at once


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """The customers of a list that were asked for already: `cids`, in the order of the list.

    `attempts` and `batches` are those that ask for them, newest first, each with which of them.
    """

    cids: Sequence[str]
    attempts: Mapping[Attempt, frozenset[str]]
    batches: Mapping[Batch, frozenset[str]]

    def __bool__(self) -> bool:
        return bool(self.cids)

    @property
    def sentences(self) -> tuple[str, ...]:
        """How many customers, by whom, when and as what: a sentence for each batch and for each user's attempts."""
        every = (*map(_of_batch, self.batches.items()), *_of_attempts(self._lone_attempts()))
        more = len(every) - SENTENCES
        return (*every[:SENTENCES], f"There are {more:,} more such entries.") if more > 0 else every

    @property
    def as_json(self) -> dict[str, Any]:
        """What a script is answered: how many customers, the first of them, and the ids of what asks for them."""
        return {
            "count": len(self.cids),
            "cids": list(self.cids[:CIDS_IN_JSON]),
            "attempts": [str(attempt.attempt_id) for attempt in self.attempts],
            "batches": [str(batch.batch_id) for batch in self.batches],
        }

    def refusal(self) -> Refusal:
        """Return what stops a list because of this."""
        newest = next((attempt.attempt_id for attempt in self.attempts), None)
        return Refusal(
            409,
            "cids",
            f"{counted(len(self.cids), 'customer')} of this list {_were(self.cids)} asked for already.",
            *self.sentences,
            "Nothing was sent. Look there first; then leave these customers out, or send them again if you mean to.",
            duplicate_of=newest or next(batch.batch_id for batch in self.batches),
            overlap=self.as_json,
        )

    def _lone_attempts(self) -> list[tuple[Attempt, frozenset[str]]]:
        """Return the attempts that say more than the batches do: not those of chunks."""
        in_batches = frozenset[str]().union(*self.batches.values())
        return [(attempt, cids) for attempt, cids in self.attempts.items() if not cids <= in_batches]


def find_overlap(
    cluster_url: str,
    action_code: int,
    cids: Sequence[str],
    *,
    accepted_since: datetime | None = None,
    but: Batch | None = None,
) -> Overlap:
    """Return which of `cids` were asked for already, apart from the batch `but`. Raises DatabaseError.

    What TMS accepted counts from `accepted_since` on, within the window if that is not given.
    """
    batches = open_batches().exclude(pk=but.pk) if but else open_batches()
    return overlap_of(
        cids,
        attempts_sharing(cluster_url, action_code, cids, accepted_since or window_start()),
        batches_sharing(cluster_url, action_code, cids, batches=batches),
    )


def overlap_of(
    cids: Iterable[str], attempts: Mapping[Attempt, frozenset[str]], batches: Mapping[Batch, frozenset[str]]
) -> Overlap:
    """Return the overlap of a list with these attempts and batches."""
    shared = frozenset[str]().union(*attempts.values(), *batches.values())
    return Overlap(cids=tuple(cid for cid in cids if cid in shared), attempts=attempts, batches=batches)


def window_start(before: datetime | None = None) -> datetime:
    """Return from when on what TMS accepted counts as asked for already, for what began at `before`, or begins now."""
    return (before or timezone.now()) - timedelta(seconds=settings.TMS_DUPLICATE_WINDOW_S)


def _of_batch(shared: tuple[Batch, frozenset[str]]) -> str:
    batch, cids = shared
    state = batch.shown_state.label.lower()
    when = f"{batch.created_at:%d %b %H:%M} UTC"
    return f"{counted(len(cids), 'customer')}: batch {batch.batch_id} of {batch.user_id}, of {when} ({state})."


def _of_attempts(shared: Sequence[tuple[Attempt, frozenset[str]]]) -> Iterator[str]:
    """Yield a sentence for each user and state of some attempts, which are the newest first."""
    groups: dict[tuple[str, str], list[tuple[Attempt, frozenset[str]]]] = {}
    for attempt, cids in shared:
        groups.setdefault((attempt.user_id, _state_of(attempt)), []).append((attempt, cids))
    for (user_id, state), members in groups.items():
        newest, count = members[0][0], len(frozenset[str]().union(*(cids for _, cids in members)))
        action = Action(newest.action_code).label if newest.action_code else newest.action_name
        what = f"{counted(count, 'customer')}: {action} of {user_id} {state}, at {newest.created_at:%d %b %H:%M} UTC"
        which = f"attempt {newest.attempt_id}"
        yield f"{what}, as {which}{f' and {len(members) - 1:,} before it' if len(members) > 1 else ''}."


def _state_of(attempt: Attempt) -> str:
    if attempt.is_accepted:
        return "was accepted a moment ago"
    return "is being sent" if attempt.is_running else "has no known outcome"


def _were(cids: Sequence[str]) -> str:
    return "was" if len(cids) == 1 else "were"
