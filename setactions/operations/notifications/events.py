"""What there is to tell, looked up in the databases: index lookups, whatever the size of the record.

`look` compares what is now with what was told. A batch has ended once for each time; a pause, an attempt in doubt and a
late timer are told when they appear, and again if they come back after they were gone.
"""

import json
import re
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.urls import reverse

from audit.choices import Action
from audit.selectors import attempts_in_doubt_of
from jobs.batches.selectors import Progress, progress_of_many
from jobs.models import Batch
from tmsdash import timers
from tmsdash.db import clock
from tmsdash.text import counted, one_line
from tmsdash.tokens import without_web_tokens
from tmsdash.web.clusters import cluster_name

BATCH_DONE, BATCH_STOPPED, BATCH_PAUSED = "batch.done", "batch.stopped", "batch.paused"
IN_DOUBT, TIMER_LATE, TIMER_FAILED, TEST = "attempts.in_doubt", "timer.late", "timer.failed", "test"
# What a witness on another machine tells, see setactions.operations.witness.
REWRITTEN, UNPROVEN, SILENT = "audit.rewritten", "audit.unproven", "audit.silent"

NEWS_FOR = timedelta(days=1)  # what ended longer ago is no news, if nobody has looked since
OVERLAP = timedelta(minutes=5)  # that a row may be written after the time that stands in it
BATCHES_AT_ONCE = 100
MOST_REMEMBERED = 5_000  # attempts in doubt, and paused batches
IN_DOUBT_EVERY = timedelta(minutes=10)  # one notice for all that came meanwhile

# How the reasons begin that the dashboard writes. What stands behind may be TMS's words, in which ids may be.
_REASON = re.compile(
    r"(?:Paused|Stopped) by [\w.@+-]{1,150}\.$"
    r"|TMS does not accept the token \(HTTP 40[13]\)"
    r"|[0-9]+ chunks failed one after the other"
    r"|The cluster keeps asking for fewer calls"
    r"|The cluster's TMS did not get ready"
    r"|The process that ran it is gone"
    r"|The server that ran it was stopped"
    r"|The dashboard itself failed"
    r"|The jobs database could not be used"
    r"|The queue of the batches cannot be reached"
    r"|Chunk [0-9]+ was changed in the database"
    r"|This cluster is not configured any more"
    r"|Interrupted"
)


@dataclass(frozen=True)
class Event:
    """Something to tell: `summary` is a sentence or two, `path` the page that shows it, `facts` are for programs."""

    kind: str
    summary: str
    path: str = field(default_factory=lambda: reverse("new_action"))
    facts: dict[str, Any] = field(default_factory=dict)
    notice_id: uuid.UUID = field(default_factory=uuid.uuid4)

    def __post_init__(self) -> None:
        object.__setattr__(self, "summary", without_web_tokens(one_line(self.summary, 1_000)))


@dataclass(frozen=True)
class Told:
    """What was told, as far as it matters for what comes. Times are ISO texts, "" for never."""

    ended_until: str = ""
    ended: tuple[str, ...] = ()  # the notices of batches that ended lately
    paused: tuple[str, ...] = ()
    timers: tuple[str, ...] = ()
    in_doubt: tuple[int, ...] = ()
    in_doubt_at: str = ""

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Told":
        """Return what was told; of a text that is none, nothing."""
        try:
            values: dict[str, Any] = json.loads(text or "{}")
            values |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
            return cls(**values)
        except (ValueError, TypeError, AttributeError):
            return cls()

    @property
    def is_nothing(self) -> bool:
        """Whether nobody has ever looked: what is there then is no news, but for what needs somebody."""
        return not self.ended_until


def look(told: Told) -> tuple[list[Event], Told]:
    """Return what there is to tell, and what was told once that is. Raises DatabaseError."""
    ended, ended_until, ended_ids = _ended(told)
    paused, paused_ids = _paused(told)
    in_doubt, in_doubt_ids, in_doubt_at = _in_doubt(told)
    late, late_names = _timers(told)
    after = Told(ended_until, ended_ids, paused_ids, late_names, in_doubt_ids, in_doubt_at)
    return [*ended, *paused, *in_doubt, *late], after


def _ended(told: Told) -> tuple[list[Event], str, tuple[str, ...]]:
    now = clock.now("jobs")
    if told.is_nothing:
        return [], now.isoformat(), ()
    since = max(datetime.fromisoformat(told.ended_until) - OVERLAP, now - NEWS_FOR)
    ended = Batch.objects.filter(ended_at__gt=since, state__in=[Batch.State.DONE, Batch.State.STOPPED])
    rows = ended.order_by("ended_at").values_list("pk", "batch_id", "ended_at")  # by its index
    id_of = {pk: str(_end_id(batch_id, ended_at)) for pk, batch_id, ended_at in rows if ended_at}
    new = [pk for pk, notice_id in id_of.items() if notice_id not in told.ended]
    batches = list(ended.filter(pk__in=new[:BATCHES_AT_ONCE]).order_by("ended_at"))
    events = [
        _batch_event(BATCH_DONE if batch.state == Batch.State.DONE else BATCH_STOPPED, batch, progress)
        for batch, progress in zip(batches, progress_of_many(batches), strict=True)
    ]
    is_all = len(new) <= BATCHES_AT_ONCE  # else the others are told next time
    told_ids = {id_of[pk] for pk in id_of if pk not in new} | {str(event.notice_id) for event in events}
    return events, now.isoformat() if is_all else told.ended_until, tuple(sorted(told_ids))


def _end_id(batch_id: uuid.UUID, ended_at: datetime) -> uuid.UUID:
    return uuid.uuid5(batch_id, f"ended {ended_at.isoformat()}")


def _paused(told: Told) -> tuple[list[Event], tuple[str, ...]]:
    """Return batches that wait for somebody: those that go on by themselves are none of them."""
    paused = Batch.objects.filter(state=Batch.State.PAUSED, resume_at=None)
    batches = list(paused.order_by()[:MOST_REMEMBERED])
    new = [] if told.is_nothing else [batch for batch in batches if str(batch.batch_id) not in told.paused]
    later = {str(batch.batch_id) for batch in new[BATCHES_AT_ONCE:]}
    new = new[:BATCHES_AT_ONCE]
    events = [
        _batch_event(BATCH_PAUSED, batch, progress) for batch, progress in zip(new, progress_of_many(new), strict=True)
    ]
    return events, tuple(sorted({str(batch.batch_id) for batch in batches} - later))


def _batch_event(kind: str, batch: Batch, progress: Progress) -> Event:
    cluster = cluster_name(batch.cluster_url) or "several clusters"
    action = Action(batch.action_code).label if batch.action_code in Action.values else "several actions"
    customers = {tally.state.value: tally.customers for tally in progress.tallies if tally.customers}
    parts = [f"{tally.customers:,} {_in_sentence(tally.state.label)}" for tally in progress.tallies if tally.customers]
    if progress.set_aside:
        customers["not_in_tms"] = progress.set_aside
        parts.append(f"{progress.set_aside:,} not in TMS")
    word = {BATCH_DONE: "is done", BATCH_STOPPED: "was stopped", BATCH_PAUSED: "is paused"}[kind]
    why = "" if kind == BATCH_DONE else reason_in_our_words(batch.reason)
    facts = {
        "batch_id": str(batch.batch_id),
        "user": batch.user_id,
        "action": action,
        "cluster": cluster,
        "customers": batch.customer_count,
        "customers_by_state": customers,
        "reason": why,
    }
    what = f"{action} for {counted(batch.customer_count, 'customer')} on {cluster}"
    summary = f"The batch of {batch.user_id} {word}: {what} ({', '.join(parts) or 'none sent'}). {why}".strip()
    path = reverse("batch", args=[batch.batch_id])
    notice_id = _end_id(batch.batch_id, batch.ended_at) if batch.ended_at else uuid.uuid4()
    return Event(kind, summary, path, facts, notice_id)


def _in_sentence(label: str) -> str:
    return label[:1].lower() + label[1:]


def reason_in_our_words(reason: str) -> str:
    """Return why a batch does not go on, without anything that may be TMS's words."""
    match = _REASON.match(reason)
    return f"{match[0].rstrip('.')}." if match else "Its page says why." if reason else ""


def _in_doubt(told: Told) -> tuple[list[Event], tuple[int, ...], str]:
    rows = attempts_in_doubt_of(None).order_by("pk").values_list("pk", "cluster_url")
    cluster_of = dict(rows[:MOST_REMEMBERED])
    new = [pk for pk in cluster_of if pk not in set(told.in_doubt)]
    now = clock.now("audit")
    is_soon = bool(told.in_doubt_at) and abs(now - datetime.fromisoformat(told.in_doubt_at)) < IN_DOUBT_EVERY
    if not new or is_soon:
        return [], tuple(pk for pk in told.in_doubt if pk in cluster_of), told.in_doubt_at
    return [_doubt_event(new, cluster_of)], tuple(cluster_of), now.isoformat()


def _doubt_event(new: Sequence[int], cluster_of: dict[int, str]) -> Event:
    by_cluster = Counter(cluster_name(cluster_of[pk]) for pk in new)
    places = ", ".join(f"{count:,} on {cluster}" for cluster, count in sorted(by_cluster.items()))
    number, total = len(new), len(cluster_of)
    what = "attempt is" if number == 1 else "attempts are"
    total_words = f"{total:,} or more" if total == MOST_REMEMBERED else f"{total:,}"
    summary = f"{number:,} more {what} in doubt ({places}), {total_words} in all. Nobody knows what TMS did with them."
    facts = {"new": number, "in_doubt": total, "new_by_cluster": dict(by_cluster)}
    return Event(IN_DOUBT, summary, reverse("in_doubt"), facts)


def _timers(told: Told) -> tuple[list[Event], tuple[str, ...]]:
    states = timers.needing_attention()
    keys = {state.name: f"{state.name} {'late' if state.is_late else 'failed'}" for state in states}
    events = [
        Event(
            TIMER_LATE if state.is_late else TIMER_FAILED,
            state.in_words,
            facts={"timer": state.name, "command": state.command, "interval_s": state.interval_s},
        )
        for state in states
        if keys[state.name] not in told.timers
    ]
    return events, tuple(sorted(keys.values()))
