"""What happened in a made-up installation: who asked for what, when, and what TMS answered.

All of it follows from the seed, the number of jobs and the end of the time. Most attempts are accepted; everything
that lists and pages treat apart turns up as well, seldom, and at least once in some hundred jobs.
"""

import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from audit.choices import Action, Kind, Ruling, Source
from setactions.devtools.demo_data.attempt_rows import Event, MadeAttempt, intent_body

YEARS = 3
CLUSTERS = tuple(f"https://tms-{number}.example" for number in range(1, 5))
OPERATORS = tuple(f"operator{number}" for number in range(1, 13))
FORMER = "former"  # somebody whose account is gone
CUSTOMER_COUNTS = (1, 2, 4, 6, 8, 10, 10, 12, 15, 20)
LONG_LIST, VERY_LONG_LIST = 150, 1000
SPREAD = 0x9E3779B97F4A7C15F39CC0605CEDC835  # odd, so that different numbers give different ids, far from each other
JOBS_PER_BATCH, CHUNKS = 200, 20
UNKNOWN_NAMES = 5317  # that strangers typed
ACCEPTED_ANSWER: dict[str, Any] = {"message": "Sending action to migration services", "success": True}
REASONS = ("those CIDs do not exist", "migration service is not ready", "maintenance", "quota exceeded")
RARE = (0.01, 0.03, 0.042, 0.047, 0.052, 0.057, 0.059)  # chances of what seldom happens; each happens once at first
AGENTS = ("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "python-requests/2.34")


@dataclass(frozen=True)
class Fact:
    """An event that belongs to no attempt."""

    kind: Kind
    at: datetime
    user_id: str
    ip_address: str
    body: dict[str, Any]


@dataclass(frozen=True)
class MadeBatch:
    """A batch with its chunks, of which the first ones were sent, as `attempts` in their order."""

    batch_id: uuid.UUID
    user_id: str
    at: datetime
    chunks: list[list[str]]
    attempts: list[MadeAttempt]


class Scenario:
    """Yields what happened, in its order, until there are so many accepted attempts."""

    def __init__(self, *, seed: int, jobs: int, end: datetime) -> None:
        self._random = random.Random(seed)  # noqa: S311 (not for secrets)
        self._jobs, self._end = jobs, end
        self._begin = end - timedelta(days=365 * YEARS)
        self._customers = max(jobs, 10 * VERY_LONG_LIST)
        self._at = self._begin
        self._accepted = self._events = 0

    def events(self) -> Iterator[MadeAttempt | MadeBatch | Fact]:
        """Yield all of it."""
        while self._accepted < self._jobs:
            self._events += 1
            # Half a second is the least between two of them, however many there are.
            planned = self._begin + (self._end - self._begin) * (self._accepted / self._jobs)
            self._at = max(self._at + timedelta(seconds=0.5), planned)
            yield from self._facts()
            if self._events % JOBS_PER_BATCH == 29:
                yield self._batch()
            yield self._attempt()

    def _attempt(self) -> MadeAttempt:
        chance = self._random.random() if self._events > len(RARE) else RARE[self._events - 1]
        source = self._one_of((Source.FORM, Source.FORM, Source.FORM, Source.FORM, Source.API))
        if chance < 0.025:
            return self._refused(source)
        cids = self._cids(self._customer_count())
        noted = {"note": f"CHG-{self._events}: planned move"} if self._events % 10 == 3 else {}
        opening = intent_body(self._action(), self._cluster(), cids, source.value, **noted)
        return self._made(opening, self._outcome(chance))

    def _made(self, opening: dict[str, Any], events: Sequence[Event], **facts: Any) -> MadeAttempt:
        user_id = facts.pop("user_id", None) or self._operator()
        self._accepted += bool(events) and events[-1][0] in (Kind.ACCEPTED, Kind.APPLIED) or _is_ruled_applied(events)
        took = timedelta(milliseconds=self._random.randrange(150, 2500))
        made = {"attempt_id": self._new_id(), "ip_address": self._address(user_id), "at": self._at, "took": took}
        return MadeAttempt(user_id=user_id, opening=opening, events=events, **{**made, **facts})

    def _outcome(self, chance: float) -> Sequence[Event]:
        """Return what came after an INTENT. A few stay open for ever."""
        if self._events % self._rare == 13:
            return [(Kind.UNKNOWN, self._answer(None, "TMS did not answer in time: no answer within 30 s."))]
        if self._events % self._rare == 14:
            return []  # nobody knows: its server died
        if chance > 0.06:
            return [(Kind.ACCEPTED, self._answer(200, ACCEPTED_ANSWER["message"], ACCEPTED_ANSWER))]
        if chance < 0.04:
            message = self._one_of(REASONS)
            return [(Kind.REJECTED, self._answer(200, message, {"message": message, "success": False}))]
        if chance < 0.045:
            return [(Kind.NOT_SENT, self._answer(None, "The connection was refused."))]
        unknown: Event = (Kind.UNKNOWN, self._answer(502, "HTTP 502 without a message."))
        reading = {"readings": [{"at": self._at.isoformat(), "states": {"2": 1}}]}
        if chance < 0.05:
            return [unknown, (Kind.APPLIED, {"message": "all customers show the action", **reading})]
        if chance < 0.055:
            return [unknown, (Kind.NOT_APPLIED, {"message": "no customer shows the action", **reading})]
        ruling = Ruling.APPLIED if chance < 0.058 else Ruling.NOT_APPLIED
        reason = {"reason": "looked at by hand", "message": "looked at by hand", "ruling": ruling.value}
        return [unknown, (Kind.DECIDED, reason | reading)]

    @cached_property
    def _rare(self) -> int:
        """Every how many events an attempt stays open."""
        return max(150, self._jobs // 40)

    def _refused(self, source: Source) -> MadeAttempt:
        code, field, message = self._one_of(
            (
                (400, "cids", "An id holds a space. Separate ids by commas or lines."),
                (409, "duplicate", "These customers were asked for already, a few minutes ago."),
                (503, "request", "Too many calls are in flight, so nothing was sent. Try again."),
            )
        )
        cids = self._cids(self._customer_count()) if code != 400 else []
        action = self._action() if cids else None
        opening = {
            "action_code": action.value if action else None,
            "action_name": action.label if action else "",
            "cids": cids,
            "cluster_url": self._cluster() if cids else "",
            "customer_count": len(cids),
            "list_digest": "",
            "payload_digest": "",
            "source": source.value,
            "code": code,
            "errors": {field: [message]},
            "message": message,
        }
        return self._made(opening, (), kind=Kind.REFUSED)

    def _batch(self) -> MadeBatch:
        batch_id, user_id, at = self._new_id(), self._operator(), self._at
        action, cluster_url = self._action(), self._cluster()
        cids = self._cids(10 * CHUNKS)
        source = (Source.BATCH, Source.COMMAND)[self._events // JOBS_PER_BATCH % 2]
        chunks = [cids[start : start + 10] for start in range(0, len(cids), 10)]
        attempts = []
        for number, chunk in enumerate(chunks if self._random.random() < 0.95 else chunks[: CHUNKS // 2]):
            self._at += timedelta(seconds=0.5)
            facts = {"batch_id": str(batch_id), "chunk": number + 1, "try": 1}
            opening = intent_body(action, cluster_url, chunk, source.value, **facts)
            # Of what can become of it, what the ledger has a plain word for.
            events = self._outcome(0.03 + 2 * self._random.random())
            attempt_id = uuid.uuid5(batch_id, f"chunk {number}, try 1")
            attempts.append(self._made(opening, events, user_id=user_id, attempt_id=attempt_id))
        return MadeBatch(batch_id, user_id, at, chunks, attempts)

    def _facts(self) -> Iterator[Fact]:
        user_id, agent = self._operator(), {"user_agent": self._one_of(AGENTS)}
        if self._events % 40 == 7:
            yield self._fact(Kind.SIGNED_IN, user_id, agent)
        if self._events % 80 == 11:
            yield self._fact(Kind.SIGNED_OUT, user_id, agent)
        if self._events % 100 == 13:
            stranger = f"unknown:{customer_id(self._random.randrange(UNKNOWN_NAMES) + 1 << 64):>032.32}"
            name = self._one_of((stranger, stranger, stranger, user_id))
            yield self._fact(Kind.SIGN_IN_FAILED, name, agent | {"throttled_from_now_on": False})
        if self._events % 2000 == 17:
            exported = {"what": "attempts", "format": "csv", "filters": {"user": user_id}, "count": 100}
            yield self._fact(Kind.EXPORTED, "auditor", exported)
        if self._events % 5000 == 19:
            changed = {"what": "user", "name": user_id, "change": "changed"}
            yield self._fact(Kind.SETTING_CHANGED, "admin", changed)

    def _fact(self, kind: Kind, user_id: str, body: dict[str, Any]) -> Fact:
        return Fact(kind, self._at, user_id, self._address(user_id), body)

    def _answer(self, http_status: int | None, message: str, data: Any = None) -> dict[str, Any]:
        return {
            "data": data,
            "duration_ms": self._random.randrange(150, 2500),
            "retry_after_s": None,
            "http_status": http_status,
            "message": message,
            "timed_out": "in time" in message,
        }

    def _customer_count(self) -> int:
        chance = self._random.random()
        if chance < 0.0005:
            return VERY_LONG_LIST
        return LONG_LIST if chance < 0.005 else self._one_of(CUSTOMER_COUNTS)

    def _cids(self, count: int) -> list[str]:
        """Return different customers. One of them, the first of all, turns up in every hundredth attempt."""
        first, step = self._random.randrange(self._customers), self._random.randrange(1, self._customers // count)
        numbers = [(first + step * place) % self._customers for place in range(count)]
        if self._random.random() < 0.01 and 0 not in numbers:
            numbers[0] = 0
        return [customer_id(number) for number in numbers]

    def _operator(self) -> str:
        """Return a user: the first one in four of ten cases, the last one of all hardly ever."""
        chance = self._random.random()
        if chance < 0.0005:
            return FORMER
        return OPERATORS[0] if chance < 0.4 else OPERATORS[int(chance * chance * len(OPERATORS))]

    def _action(self) -> Action:
        action: Action = self._one_of((*Action, Action.PE_ENABLE, Action.PE_ENABLE, Action.T_ENABLE))
        return action

    def _cluster(self) -> str:
        return CLUSTERS[-1] if self._random.random() < 0.001 else self._one_of(CLUSTERS[:-1])

    def _address(self, user_id: str) -> str:
        return f"10.{len(user_id)}.{sum(user_id.encode()) % 250}.{self._random.randrange(1, 250)}"

    def _new_id(self) -> uuid.UUID:
        return uuid.UUID(int=self._random.getrandbits(128), version=4)

    def _one_of(self, values: Sequence[Any]) -> Any:
        return values[int(self._random.random() * len(values))]  # `choice` takes four times as long


def customer_id(number: int) -> str:
    """Return the id of a customer; most look like UUIDs without dashes, some are numbers."""
    return str(1_000_000 + number) if number % 50 == 3 else f"{(number + 1) * SPREAD & (1 << 128) - 1:032x}"


def _is_ruled_applied(events: Sequence[Event]) -> bool:
    return bool(events) and events[-1][1].get("ruling") == Ruling.APPLIED
