"""A list of customers beside what a reading showed of them: whom the action moves on, and whom it does not.

Actions 1 to 4 (Trans-Begin, PE-Enable, T-Enable, PE-Finalize) are the steps of one way, in this order. Seen from one of
them, a customer

- will move on who is at the step before it, is there already at the step itself, skips a step if earlier by more than
  one, and is further on if later;
- is further on, too, at PE-Direct: that customer has gone another way to its end, and a step would take it back.

PE-Direct is a way of its own, from anywhere to its end without steps. Nothing comes just before it, so nobody skips
anything: whoever is on the other way moves on, whichever step they are at, apart from PE-Finalize. There the other way
ended, and what PE-Direct does to such a customer is no move onward, so it counts as further on.

TMS lists nothing of customers for whom nothing was ever asked, nor of those that it does not know, and the two cannot
be told apart: both are not known to TMS, before Trans-Begin as well. Codes that stand for no action have no place in
the order, so they are not readable.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from audit.bodies import Compared
from audit.choices import Action, Standing
from audit.models import Attempt
from jobs.live.codes import NO_ACTION, state_name
from jobs.live.states import KnownStates
from jobs.models import LiveReading

Codes = Sequence[int | None]  # of the customers of a list, in its order; None if nothing was read of one
FIRST_IDS = 20


def standing_of(action: Action, code: int | None) -> Standing:
    """Return where a customer with this code (see jobs.live.codes; None if it was never read) is for an action."""
    if code is None:
        return Standing.UNREAD
    if code == NO_ACTION:
        return Standing.UNKNOWN
    if code not in Action.values:
        return Standing.UNREADABLE
    if code == action:
        return Standing.THERE
    if code > action or (action, code) == (Action.PE_DIRECT, Action.PE_FINALIZE):
        return Standing.AHEAD
    return Standing.NEXT if action == Action.PE_DIRECT or code == action - 1 else Standing.SKIPS


@dataclass(frozen=True)
class Group:
    """The customers of a list who stand alike, with the code of each; both in the order of the list."""

    standing: Standing
    cids: Sequence[str]
    codes: Codes

    @property
    def states(self) -> list[tuple[str, int]]:
        """The states that they show, each with how many show it, the most frequent first."""
        counts = {code: self.codes.count(code) for code in dict.fromkeys(self.codes)}
        return sorted(((name_of(code), count) for code, count in counts.items()), key=lambda state: -state[1])

    @property
    def has_states(self) -> bool:
        """Whether they may show different states, so that these are worth naming."""
        return self.standing in (Standing.NEXT, Standing.AHEAD, Standing.SKIPS, Standing.UNREADABLE)

    @property
    def first(self) -> list[tuple[str, str]]:
        """The first of them, each with its state."""
        return [(cid, name_of(code)) for cid, code in zip(self.cids[:FIRST_IDS], self.codes, strict=False)]

    @property
    def more_count(self) -> int:
        """How many there are besides the first."""
        return max(0, len(self.cids) - FIRST_IDS)


def groups_of(action: Action, cids: Sequence[str], codes: Codes) -> list[Group]:
    """Return the customers of a list by where they stand, in the order of Standing; each is in one group."""
    standings = {code: standing_of(action, code) for code in set(codes)}
    members: dict[Standing, tuple[list[str], list[int | None]]] = {standing: ([], []) for standing in Standing}
    for cid, code in zip(cids, codes, strict=True):
        group_cids, group_codes = members[standings[code]]
        group_cids.append(cid)
        group_codes.append(code)
    return [Group(standing, *group) for standing, group in members.items() if group[0]]


def name_of(code: int | None) -> str:
    """Return what stands for a code, or for None, in lists and files."""
    return Standing.UNREAD.label if code is None else state_name(code)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What was known of the customers of a list when its user compared it with live state.

    `read_at` is when the oldest of the readings began that show them, None if there is none; `read_for` is the user for
    whom it was read, and `source` a value of LiveReading.Source: given, if any reading was. Its user was told of
    `later_attempts` that came after it; `places` lead to those of which they were not (see audit.overlap.places_at).
    `left_out` customers are not on the list any more: they were there.
    """

    codes: Codes
    read_at: datetime | None
    source: str
    read_for: str
    places: tuple[int, int] = (0, 0)
    later_attempts: int = 0
    left_out: int = 0

    @classmethod
    def of(cls, known: KnownStates, cids: Sequence[str], places: tuple[int, int] = (0, 0)) -> "Comparison":
        """Return the comparison of a list with what is known of its customers."""
        states, oldest = known.by_cid, known.oldest
        codes = tuple(states[cid].code if cid in states else None for cid in cids)
        is_given = any(state.reading.source == LiveReading.Source.GIVEN for state in set(states.values()))
        source = LiveReading.Source.GIVEN if is_given else LiveReading.Source.TMS
        read_at, read_for = (oldest.began_at, oldest.user_id) if oldest else (None, "")
        return cls(codes=codes, read_at=read_at, source=source.value, read_for=read_for, places=places)

    @property
    def source_label(self) -> str:
        """How that was read, in words."""
        return str(LiveReading.Source(self.source).label)

    def without(self, cids: Sequence[str], left_out: frozenset[str], *, were_there: bool) -> "Comparison":
        """Return the comparison of what is left of its list `cids`; `were_there` tells why the others are not."""
        kept = tuple(code for cid, code in zip(cids, self.codes, strict=True) if cid not in left_out)
        return replace(self, codes=kept, left_out=self.left_out + (len(left_out) if were_there else 0))

    def told(self, later: Collection[Attempt]) -> "Comparison":
        """Return the same once its user was told of attempts that came after it."""
        newest = max(attempt.pk for attempt in later)
        return replace(self, later_attempts=self.later_attempts + len(later), places=(newest + 1, newest))

    def for_intent(self, action: Action, cids: Sequence[str]) -> Compared:
        """Return what the audit keeps of it: who stood where, as numbers."""
        compared: Compared = {
            "read_at": self.read_at.isoformat() if self.read_at else "",
            "source": self.source,
            "read_for": self.read_for,
            "counts": {group.standing.value: len(group.cids) for group in groups_of(action, cids, self.codes)},
        }
        if self.left_out:
            compared["left_out"] = self.left_out
        if self.later_attempts:
            compared["later_attempts"] = self.later_attempts
        return compared

    def as_json(self) -> dict[str, Any]:
        """Return it for a page that brings it back, signed."""
        return {
            "codes": list(self.codes),
            "read_at": self.read_at.isoformat() if self.read_at else None,
            "source": self.source,
            "read_for": self.read_for,
            "places": list(self.places),
            "later": self.later_attempts,
            "left_out": self.left_out,
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> "Comparison":
        """Return what `as_json` made."""
        first, newest = state["places"]
        return cls(
            codes=tuple(state["codes"]),
            read_at=datetime.fromisoformat(state["read_at"]) if state["read_at"] else None,
            source=state["source"],
            read_for=state["read_for"],
            places=(first, newest),
            later_attempts=state["later"],
            left_out=state["left_out"],
        )
