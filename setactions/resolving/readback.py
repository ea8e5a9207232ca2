"""What `get/action` shows of customers, and what that proves about an attempt whose outcome is in doubt.

A reading shows states, not attempts: which action a customer saw last, not who asked for it. So it proves something
only where nothing else can explain what it shows. The rules, in the order in which `judge` asks them:

- another attempt asked for the same action on one of the customers: unclear;
- every customer shows the action: applied;
- some customer shows the action or a later one, or something that cannot be read: unclear;
- another attempt may have changed one of the customers since: unclear;
- no customer shows the action, in two readings an interval apart: not applied.

The interval has to pass by the clock that tells the time and by the one that nobody can set: a clock that jumps ahead
proves nothing. Of attempts, the order in which the audit took them counts as well as their times.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any

from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from audit.choices import Action, Kind
from audit.models import Attempt
from audit.selectors import any_accepted, attempts_touching
from jobs.live.codes import NO_ACTION, UNREADABLE
from setactions.reads import ALL, read_codes
from setactions.tms.clusters import Cluster
from setactions.token import Token
from tmsdash import clocks
from tmsdash.clocks import Moment

WAIT_S = 2 * 60  # that a command waits for a cluster to be read, which has minutes


@dataclass(frozen=True)
class States:
    """A reading of one cluster: the action code of each customer that has one."""

    codes: dict[str, int]
    begun: Moment
    ended: Moment

    def reading_of(self, cids: Sequence[str]) -> "Reading":
        """Return what this reading shows of `cids`."""
        listed_otherwise = {cid.casefold() for cid in self.codes}  # then nobody knows whether it is the same customer

        def code(cid: str) -> int:
            return self.codes.get(cid, UNREADABLE if cid.casefold() in listed_otherwise else NO_ACTION)

        counts = Counter(code(cid) for cid in cids)
        return Reading(dict(sorted(counts.items())), self.begun, self.ended)


@dataclass(frozen=True)
class Reading:
    """How many of an attempt's customers showed which action code (NO_ACTION for none) at a time.

    `problem` says in their place why the cluster could not be read.
    """

    counts: dict[int, int]
    begun: Moment
    ended: Moment
    problem: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the same for the audit; `from_json` takes it back."""
        counts = {str(code): count for code, count in self.counts.items()}
        times: dict[str, Any] = {"boot_id": self.ended.boot_id}
        for name, moment in (("begun", self.begun), ("ended", self.ended)):
            times |= {f"{name}_at": moment.at.isoformat(), f"{name}_uptime_s": moment.uptime_s}
        return {"counts": counts} | times | ({"problem": self.problem} if self.problem else {})

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Reading":
        """Return the reading that `as_json` gave as `value`."""
        counts = {int(code): count for code, count in value["counts"].items()}
        begun, ended = (
            # Readings in pages of an older release have times alone, which compare with nothing.
            Moment(
                datetime.fromisoformat(value[f"{name}_at"]), value.get(f"{name}_uptime_s", 0), value.get("boot_id", "")
            )
            for name in ("begun", "ended")
        )
        return cls(counts, begun, ended, value.get("problem", ""))

    @classmethod
    def failed(cls, problem: str) -> "Reading":
        """Return what stands for a reading that there could not be."""
        return cls({}, clocks.now(), clocks.now(), problem)

    def in_words(self) -> str:
        """Return the counts as text, such as "PE-Enable: 3, no action: 1"."""
        return ", ".join(f"{action_name(code)}: {count:,}" for code, count in self.counts.items())


class Verdict(Enum):
    """What readings say about an attempt; the first two are proven, and become an event."""

    APPLIED = auto()
    NOT_APPLIED = auto()
    READ_AGAIN = auto()  # nothing shows it yet; a second reading, an interval later, may prove that it was not applied
    UNCLEAR = auto()  # a person has to decide

    @property
    def kind(self) -> Kind | None:
        """The kind of the event that writes it down; None if nothing is proven."""
        return Kind[self.name] if self in (Verdict.APPLIED, Verdict.NOT_APPLIED) else None


@dataclass(frozen=True)
class Judgement:
    """A verdict, the reason in a sentence, and the readings that it rests on."""

    verdict: Verdict
    reason: str
    readings: tuple[Reading, ...]


@sensitive_variables("token")
def read_states(cluster: Cluster, cids: Sequence[str], token: Token, *, wait_s: float = 0) -> States:
    """Read the states of `cids` on `cluster`; raises ReadingFailedError, and Refusal (503) as `reads.read` does.

    TMS is known to take one id or ALL; for several ids all customers are read, in one call.
    """
    begun = clocks.now()
    codes = read_codes(cluster, cids[0], token, wait_s=wait_s) if len(cids) == 1 else {}
    if not codes.keys() & set(cids):  # that TMS does not list a customer must be seen in the list of all
        codes = read_codes(cluster, ALL, token, wait_s=wait_s)
    return States(codes, begun, clocks.now())


def examine(attempt: Attempt, cids: Sequence[str], states: States, first: Reading | None = None) -> Judgement:
    """Say what `states`, after an earlier reading `first` if there is one, prove of an attempt for `cids`.

    A first reading by a clock to which that of `states` cannot be compared is no help; another one takes its place.
    """
    reading = states.reading_of(cids)
    if first and reading.begun.seconds_since(first.ended) is None:
        first = None
    # A list that lacks what must be on it is no list of all: it must not pass for "no action yet".
    absent = [cid for cid in cids if cid not in states.codes]
    if any(other.is_accepted for other in attempts_touching(attempt, absent)):
        reason = "TMS shows no action for some customers for which it accepted one before."
        return Judgement(Verdict.UNCLEAR, reason, (reading,))
    if not states.codes and any_accepted(attempt.cluster_url):
        reason = "TMS shows no action of any customer, although it accepted some before."
        return Judgement(Verdict.UNCLEAR, reason, (reading,))
    return judge(attempt, attempts_touching(attempt, cids), *([first, reading] if first else [reading]))


def judge(attempt: Attempt, touching: Sequence[Attempt], *readings: Reading) -> Judgement:
    """Say what `readings`, the oldest first, prove of `attempt`.

    `touching` are the other attempts that may have changed any of its customers. Applied: every
    customer shows the action, and nobody else asked for it. Not applied: every customer shows an
    earlier action or none, in two readings an interval apart, and nobody else can have hidden ours.
    """
    action_code, counts = attempt.action_code or 0, readings[-1].counts
    same_action = [other for other in touching if other.action_code == action_code]
    if same_action:
        reason = f"Attempt {same_action[0].attempt_id} asked for the same action for some of these customers, too."
        return Judgement(Verdict.UNCLEAR, reason, readings)
    if set(counts) == {action_code}:
        return Judgement(Verdict.APPLIED, "Every customer shows the action.", readings)
    if any(UNREADABLE in reading.counts for reading in readings):
        reason = "What TMS shows of some customers cannot be read, or is listed under another spelling."
        return Judgement(Verdict.UNCLEAR, reason, readings)
    if any(code >= action_code for reading in readings for code in reading.counts):
        reason = "Some customers show the action or a later one, but not all show this one."
        return Judgement(Verdict.UNCLEAR, reason, readings)
    since = [other for other in touching if _may_act_after(other, attempt)]
    if since:
        reason = f"Attempt {since[0].attempt_id} may have changed some of these customers since."
        return Judgement(Verdict.UNCLEAR, reason, readings)
    seconds = readings[-1].begun.seconds_since(readings[0].ended) if len(readings) > 1 else None
    if seconds is not None and seconds >= settings.TMS_READBACK_INTERVAL_S:
        return Judgement(Verdict.NOT_APPLIED, "No customer shows the action, in two readings.", readings)
    return Judgement(Verdict.READ_AGAIN, "No customer shows the action so far.", readings)


def _may_act_after(other: Attempt, attempt: Attempt) -> bool:
    """Tell whether `other` may have changed customers when `attempt` was begun already."""
    if other.is_open or other.decided_at is None or other.decided_at >= attempt.created_at:
        return True
    # Times say nothing if the clock was set back: it began later, or the clock was set back while it ran.
    began_later = other.pk is not None and attempt.pk is not None and other.pk > attempt.pk
    return began_later or other.decided_at < other.created_at


def action_name(code: int) -> str:
    """Return what a reading's code stands for, in words."""
    if code in (NO_ACTION, UNREADABLE):
        return "no action" if code == NO_ACTION else "not readable"
    return Action(code).label if code in Action.values else f"action code {code}"
