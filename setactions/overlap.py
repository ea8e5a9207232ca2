"""The guard against sending twice: which customers of a list were asked for already, and what is said of that.

It counts customers, not lists: a list that was sorted, cut or made longer is the same to those who are on it. An
action was asked for already if a customer is part of an attempt that is open, of a batch that runs or is paused, or of
an attempt that TMS accepted within TMS_DUPLICATE_WINDOW_S, or of what a batch had sent that ended within it. It is
decided where it cannot change meanwhile:

- every attempt is compared with all other attempts in the transaction that writes its INTENT;
- a batch is compared as a whole before it starts or goes on, with other batches under a lock, and a single attempt
  with the batches that are open;
- for chunks the window begins that long before their batch was made. So whatever came in between its comparison and
  its chunk is seen then, however long the batch takes.

Only an explicit word lets customers be sent again. It holds for the attempt, or for the run of the batch, for which it
was given, and each INTENT of that says so. It covers what its user was told of: whoever else is on both lists by then,
and whatever asked for the customers since, is refused all the same.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar

from django.conf import settings

from audit.choices import CHUNK_SOURCES, Action, Source
from audit.models import Attempt
from audit.overlap import attempts_sharing
from jobs.batches.lists import Chunk, lists_of
from jobs.batches.overlap import batches_sharing
from jobs.models import Batch
from setactions.refusal import Refusal
from setactions.word import NO_WORD, Named, Word, digest_of
from tmsdash.clocks import CLOCK_SKEW_S
from tmsdash.db import clock
from tmsdash.text import counted
from tmsdash.web.template_filters import in_shown_zone

CIDS_IN_JSON = 100
SENTENCES = 5  # at once
NEXT_STEP = "Nothing was sent. Look there first; then leave these customers out, or send them again if you mean to."
NEXT_STEP_OF = {
    Source.API: "Nothing was sent. Look there first; then send the list without these customers, or with "
    '"sendAgain": true if you mean to.',
    Source.COMMAND: "Look there first; then give --without-accepted to leave them out, or --send-again if you mean to.",
}

T = TypeVar("T", Attempt, Batch)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A batch that asks for customers of a list, or a user's attempts in one state, with the newest one's `sent_as`.

    Its `sentence` says how many customers, by whom, when and as what. The id stands in it, between two parts.
    """

    sentence: str
    sent_as: uuid.UUID
    user_id: str
    is_batch: bool

    @property
    def before_id(self) -> str:
        return self.sentence.partition(str(self.sent_as))[0]

    @property
    def after_id(self) -> str:
        return self.sentence.partition(str(self.sent_as))[2]


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

    @cached_property
    def shared(self) -> frozenset[str]:
        """The same customers, to be looked up in."""
        return frozenset(self.cids)

    @property
    def summary(self) -> str:
        """How many customers there are, in a sentence."""
        return f"{counted(len(self.cids), 'customer')} of this list {_were(self.cids)} asked for already."

    @property
    def entries(self) -> tuple[Entry, ...]:
        """One for each batch, and for each user's attempts in one state."""
        return (*map(_of_batch, self.batches.items()), *_of_attempts(self._lone_attempts()))

    @property
    def sentences(self) -> tuple[str, ...]:
        """How many customers, by whom, when and as what."""
        every = tuple(entry.sentence for entry in self.entries)
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

    @property
    def named(self) -> Named:
        """This in short, for a page that shows it."""
        newest = max((attempt.pk for attempt in self.attempts), default=0)
        return Named(newest, frozenset(str(batch.batch_id) for batch in self.batches), digest_of(self.cids))

    def refusal(self, source: Source | None, next_step: str = "") -> Refusal:
        """Return what stops a list from this source because of this; `next_step` says how to go on, if not as usual."""
        newest = next((attempt.attempt_id for attempt in self.attempts), None)
        return Refusal(
            409,
            "cids",
            self.summary,
            *self.sentences,
            next_step or (NEXT_STEP_OF.get(source, NEXT_STEP) if source else NEXT_STEP),
            duplicate_of=newest or next((batch.batch_id for batch in self.batches), None),
            overlap=self.as_json,
        )

    def _lone_attempts(self) -> list[tuple[Attempt, frozenset[str]]]:
        """Return the attempts that say more than the batches do: not those of chunks."""
        in_batches = frozenset[str]().union(*self.batches.values())
        return [
            (attempt, cids)
            for attempt, cids in self.attempts.items()
            if attempt.source not in CHUNK_SOURCES or not cids <= in_batches
        ]


TargetOverlap = tuple[str, int, Overlap]  # a cluster, an action, and who of a list was asked for already


NO_OVERLAP = Overlap(cids=(), attempts={}, batches={})


def find_overlap(
    cluster_url: str,
    action_code: int,
    cids: Sequence[str],
    *,
    accepted_since: datetime | None = None,
    word: Word = NO_WORD,
    but: Batch | None = None,
) -> Overlap:
    """Return which of `cids` were asked for already, apart from the batch `but`, and from what the `word` covers.

    What TMS accepted counts from `accepted_since` on, within the window if that is not given. Raises DatabaseError.
    """
    attempts = attempts_sharing(cluster_url, action_code, cids, accepted_since or window_start())
    in_batches = batches_sharing(cluster_url, action_code, cids, but=but)
    return overlap_of(
        cids,
        {attempt: common for attempt, common in attempts.items() if not word.covers(attempt, common)},
        {batch: common for batch, common in in_batches.items() if not word.covers_batch(batch, common)},
    )


def find_overlaps(
    chunks: Iterable[Chunk],
    *,
    accepted_since: datetime | None = None,
    word: Word = NO_WORD,
    but: Batch | None = None,
) -> Iterator[TargetOverlap]:
    """Yield the same for the customers of some chunks, list by list, so that only what they share is in memory."""
    for cluster_url, action_code, cids in lists_of(chunks):
        overlap = find_overlap(cluster_url, action_code, cids, accepted_since=accepted_since, word=word, but=but)
        if overlap:
            yield cluster_url, action_code, overlap


def united(overlaps: Iterable[TargetOverlap]) -> Overlap:
    """Return the overlap of all lists together."""
    cids: list[str] = []
    attempts: dict[Attempt, frozenset[str]] = {}
    batches: dict[Batch, frozenset[str]] = {}
    for *_, overlap in overlaps:
        cids += overlap.cids
        _add_shared(attempts, overlap.attempts)
        _add_shared(batches, overlap.batches)
    return Overlap(cids=cids, attempts=_newest_first(attempts), batches=_newest_first(batches))


def overlap_of(
    cids: Iterable[str], attempts: Mapping[Attempt, frozenset[str]], batches: Mapping[Batch, frozenset[str]]
) -> Overlap:
    """Return the overlap of a list with these attempts and batches."""
    shared = frozenset[str]().union(*attempts.values(), *batches.values())
    return Overlap(cids=tuple(cid for cid in cids if cid in shared), attempts=attempts, batches=batches)


def window_start(before: datetime | None = None) -> datetime:
    """Return from when on what TMS accepted counts as asked for already, for what began at `before`, or begins now."""
    now = clock.now("audit")
    if before and before > now + timedelta(seconds=CLOCK_SKEW_S):  # the clock was set back since, so times say nothing
        return datetime(1970, 1, 1, tzinfo=UTC)
    return min(before or now, now) - timedelta(seconds=settings.TMS_DUPLICATE_WINDOW_S)


def _add_shared(shared: dict[T, frozenset[str]], more: Mapping[T, frozenset[str]]) -> None:
    for owner, cids in more.items():
        shared[owner] = shared.get(owner, frozenset()) | cids


def _newest_first(shared: Mapping[T, frozenset[str]]) -> dict[T, frozenset[str]]:
    return dict(sorted(shared.items(), key=lambda item: item[0].pk, reverse=True))


def _of_batch(shared: tuple[Batch, frozenset[str]]) -> Entry:
    batch, cids = shared
    # One that was made just now is stopped until a process carries it, and has no reason for that.
    is_new = batch.shown_state == Batch.State.STOPPED and not batch.reason
    state = "about to start" if is_new else batch.shown_state.label.lower()
    when = f"{in_shown_zone(batch.created_at):%d %b %H:%M %Z}"
    sentence = f"{counted(len(cids), 'customer')}: batch {batch.batch_id} of {batch.user_id}, of {when} ({state})."
    return Entry(sentence=sentence, sent_as=batch.batch_id, user_id=batch.user_id, is_batch=True)


def _of_attempts(shared: Sequence[tuple[Attempt, frozenset[str]]]) -> Iterator[Entry]:
    """Yield an entry for each user, state, cluster and action of some attempts, which are the newest first."""
    groups: dict[tuple[Any, ...], list[tuple[Attempt, frozenset[str]]]] = {}
    for attempt, cids in shared:
        key = attempt.user_id, _state_of(attempt), attempt.cluster_url, attempt.action_code
        groups.setdefault(key, []).append((attempt, cids))
    for (user_id, state, *_), members in groups.items():
        newest, count = members[0][0], len(frozenset[str]().union(*(cids for _, cids in members)))
        action = Action(newest.action_code).label if newest.action_code else newest.action_name
        when = f"{in_shown_zone(newest.created_at):%d %b %H:%M %Z}"
        what = f"{counted(count, 'customer')}: {action} of {user_id} {state}, at {when}"
        which = f"attempt {newest.attempt_id}"
        sentence = f"{what}, as {which}{f' and {len(members) - 1:,} before it' if len(members) > 1 else ''}."
        yield Entry(sentence=sentence, sent_as=newest.attempt_id, user_id=user_id, is_batch=False)


def _state_of(attempt: Attempt) -> str:
    if attempt.is_accepted:
        return "was accepted"
    return "is being sent" if attempt.is_running else "has no known outcome"


def _were(cids: Sequence[str]) -> str:
    return "was" if len(cids) == 1 else "were"
