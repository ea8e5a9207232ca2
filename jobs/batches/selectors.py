"""Reads of batches."""

import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, F, Min, OuterRef, Q, QuerySet, Sum

from jobs.batches.decision import failures_before
from jobs.batches.scopes import Scope
from jobs.models import Batch, BatchChunk, ClusterBackoff
from jobs.selectors import CLUSTERS_SHOWN, may_view_job_of
from tmsdash.text import counted
from tmsdash.web.clusters import production_origins

State = BatchChunk.State
IN_DOUBT = (State.CALLING, State.UNKNOWN)
REASONS_SHOWN = 5
FAILURES_COUNTED = 10  # in a row; more make no difference
CHUNKS_AT_ONCE = 50  # with their ids in memory


def all_batches() -> QuerySet[Batch]:
    """Return every batch, newest first; check the caller's permission first."""
    return Batch.objects.order_by("-created_at", "-id")


def batch_for(user: Any, batch_id: uuid.UUID) -> Batch | None:
    """Return the batch; None if there is none, or `user` may not see it."""
    batch = Batch.objects.filter(batch_id=batch_id).first()
    return batch if batch and may_view_job_of(user, batch.user_id) else None


def chunks_of(batch: Batch) -> QuerySet[BatchChunk]:
    """Return the batch's chunks in order, without their ids."""
    return BatchChunk.objects.filter(batch=batch).defer("cids", "set_aside").order_by("number")


def in_order(chunks: QuerySet[BatchChunk], at_once: int = CHUNKS_AT_ONCE) -> Iterator[BatchChunk]:
    """Yield chunks of one batch by their numbers, `at_once` of them in memory.

    Each part is a query of its own: a cursor that outlives its statement is not to be had behind a pooler.
    """
    last = -1
    while part := list(chunks.filter(number__gt=last).order_by("number")[:at_once]):
        yield from part
        last = part[-1].number


def known_batch_clusters() -> list[str]:
    """Return the origins of clusters that have batches of their own, in alphabetical order, a hundred at most."""
    clusters = Batch.objects.exclude(cluster_url="").order_by("cluster_url").values_list("cluster_url", flat=True)
    return list(clusters.distinct()[:CLUSTERS_SHOWN])


def count_clusters(batch: Batch) -> int:
    return BatchChunk.objects.filter(batch=batch).order_by().values("cluster_url").distinct().count()


def origins_of(batch: Batch) -> list[str]:
    """Return the origins of the clusters that a batch is for: mostly one."""
    if batch.cluster_url:
        return [batch.cluster_url]
    chunks = BatchChunk.objects.filter(batch=batch).order_by("cluster_url")
    return list(chunks.values_list("cluster_url", flat=True).distinct()[:CLUSTERS_SHOWN])


def on_production(batches: Collection[Batch]) -> set[int]:
    """Return the keys of those batches that are for a production cluster, or for several with one among them."""
    production = production_origins()
    marked = {batch.pk for batch in batches if batch.cluster_url in production}
    mixed = [batch.pk for batch in batches if not batch.cluster_url]
    if mixed and production:
        has_chunk = Exists(BatchChunk.objects.filter(batch=OuterRef("pk"), cluster_url__in=production))
        marked |= set(Batch.objects.filter(has_chunk, pk__in=mixed).values_list("pk", flat=True))
    return marked


def batches_in_doubt() -> QuerySet[Batch]:
    """Return the batches that have a runner, or a chunk in doubt."""
    in_doubt = BatchChunk.objects.filter(state__in=IN_DOUBT).values("batch_id")
    return Batch.objects.filter(~Q(runner="") | Q(pk__in=in_doubt))


@dataclass(frozen=True)
class Backlog:
    """How many batches run, are paused, have lost their runner, or have ended, and what the first three still owe."""

    running: int
    paused: int
    abandoned: int
    ended: int
    chunks: int
    customers: int


def backlog() -> Backlog:
    """Return how many batches are in each state, and what is still to be sent of those that have not ended."""
    # As the index of these has it, or it is not used.
    unfinished = Batch.objects.filter(Q(state=Batch.State.RUNNING) | Q(state=Batch.State.PAUSED))
    states = Counter(batch.shown_state for batch in unfinished.only("state", "runner", "runner_until").order_by())
    waiting = BatchChunk.objects.filter(batch__in=unfinished.values("pk"), state=State.WAITING).order_by()
    left = waiting.aggregate(chunks=Count("pk"), customers=Sum("customer_count"))
    return Backlog(
        running=states[Batch.State.RUNNING],
        paused=states[Batch.State.PAUSED],
        abandoned=states[Batch.State.STOPPED],
        ended=Batch.objects.filter(ended_at__isnull=False).count(),
        chunks=left["chunks"],
        customers=left["customers"] or 0,
    )


def chunks_in_doubt(batches: Sequence[Batch]) -> list[BatchChunk]:
    """Return the chunks of some batches that are being sent, or of which nobody knows what became of them."""
    batch_of = {batch.pk: batch for batch in batches}
    chunks = BatchChunk.objects.filter(batch__in=[*batch_of], state__in=IN_DOUBT).defer("cids", "set_aside")
    in_doubt = list(chunks.order_by("batch_id", "number"))
    for chunk in in_doubt:
        chunk.batch = batch_of[chunk.batch_id]
    return in_doubt


def chunks_sent_as(attempt_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, BatchChunk]:
    """Return the chunks in doubt whose last attempts these are, with their batches and without their ids."""
    chunks = BatchChunk.objects.filter(state__in=IN_DOUBT, attempt_id__in=attempt_ids).select_related("batch")
    sent = chunks.defer("cids", "set_aside") if attempt_ids else ()
    return {chunk.attempt_id: chunk for chunk in sent if chunk.attempt_id}


def failures_of(cluster_url: str) -> int:
    """Return how often in a row a cluster asked for fewer calls."""
    return ClusterBackoff.objects.filter(cluster_url=cluster_url).values_list("failures", flat=True).first() or 0


def failures_in_a_row(batch: Batch, begun_at: datetime) -> int:
    """Return how many chunks have failed since one was accepted, as far as their states tell.

    Those that TMS wants later do not count; they wait with its answer. One that waits because it was refused tells by
    its delay how many failed before it, perhaps itself, and so does one that was claimed again after that.
    """
    ended = batch.chunks.filter(ended_at__gte=begun_at).order_by("-ended_at")
    ended = ended.exclude(state__in=[State.WAITING, State.CALLING], http_status__isnull=False)
    failures = 0
    for state, ended_at, not_before in ended.values_list("state", "ended_at", "not_before")[:FAILURES_COUNTED]:
        if state == State.ACCEPTED:
            break
        failures += 1
        if not_before and ended_at:
            return failures + failures_before((not_before - ended_at).total_seconds())
    return failures


@dataclass(frozen=True)
class Tally:
    """How many chunks of a batch, and customers in them, are in one state."""

    state: BatchChunk.State
    chunks: int
    customers: int

    @property
    def figure(self) -> int:
        """How many customers, or how many chunks if none of their customers is left: TMS knows none of their ids."""
        return self.customers or self.chunks

    @property
    def unit(self) -> str:
        """What the figure counts, as in "customers in 2 chunks"."""
        chunks = counted(self.chunks, "chunk")
        if self.customers:
            return f"customer{'s' * (self.customers != 1)} in {chunks}"
        return f"{chunks.partition(' ')[2]} without an id that TMS knows"


@dataclass(frozen=True)
class Progress:
    """How far a batch is: the states that occur, in the order of BatchChunk.State, and how many ids were set aside."""

    tallies: tuple[Tally, ...]
    set_aside: int

    @property
    def accepted(self) -> int:
        """How many customers TMS accepted."""
        return self.customers(State.ACCEPTED)

    @property
    def unknown(self) -> int:
        """For how many customers nobody knows the outcome."""
        return self.customers(State.UNKNOWN)

    def customers(self, *states: BatchChunk.State) -> int:
        """Return how many customers are in chunks of these states."""
        return sum(tally.customers for tally in self.tallies if tally.state in states)

    def chunks(self, *states: BatchChunk.State) -> int:
        """Return how many chunks are in these states."""
        return sum(tally.chunks for tally in self.tallies if tally.state in states)


def progress_of(batch: Batch) -> Progress:
    return progress_of_many([batch])[0]


def progress_of_many(batches: Sequence[Batch]) -> list[Progress]:
    """Return how far each of some batches is, in their order."""
    rows = (
        BatchChunk.objects.filter(batch__in=batches)
        .order_by()
        .values("batch_id", "state")
        .annotate(chunks=Count("pk"), customers=Sum("customer_count"), aside=Sum("set_aside_count"))
    )
    rows_of: dict[int, dict[str, Any]] = {batch.pk: {} for batch in batches}
    for row in rows:
        rows_of[row["batch_id"]][row["state"]] = row
    return [_progress(rows_of[batch.pk]) for batch in batches]


def _progress(row_of: dict[str, Any]) -> Progress:
    tallies = (Tally(state, row_of[state]["chunks"], row_of[state]["customers"]) for state in State if state in row_of)
    return Progress(tuple(tallies), sum(row["aside"] for row in row_of.values()))


def left_chunks(batch: Batch, scope: Scope) -> Iterator[BatchChunk]:
    """Yield the chunks that a further run with this scope sends, a few at a time."""
    yield from in_order(BatchChunk.objects.filter(batch=batch, state__in=scope.states))


@dataclass(frozen=True)
class LeftPart:
    """What is left to send of a batch for one cluster and action."""

    cluster_url: str
    action_code: int
    chunks: int
    customers: int


def left_parts(batch: Batch, scope: Scope) -> list[LeftPart]:
    """Return what a further run with this scope sends, by cluster and action."""
    rows = (
        BatchChunk.objects.filter(batch=batch, state__in=scope.states, customer_count__gt=0)
        .order_by("cluster_url", "action_code")
        .values("cluster_url", "action_code")
        .annotate(chunks=Count("pk"), customers=Sum("customer_count"))
    )
    return [LeftPart(**row) for row in rows]


def reasons_of(batch: Batch) -> list[str]:
    """Return why customers of a batch were not accepted, in the order of its chunks: a sentence for each reason.

    A batch mostly has one reason, and many chunks of it; of many reasons there are the first few, and their number.
    """
    ended = BatchChunk.objects.filter(batch=batch).exclude(state__in=[State.WAITING, State.CALLING, State.ACCEPTED])
    count = Sum(F("customer_count") + F("set_aside_count"))
    rows = ended.order_by().values("state", "message").annotate(first=Min("number"), count=count).order_by("first")
    first = list(rows[: REASONS_SHOWN + 1])
    reasons = [f"{State(row['state']).label} ({row['count']:,}): {row['message']}" for row in first[:REASONS_SHOWN]]
    if more := rows.count() - REASONS_SHOWN if len(first) > REASONS_SHOWN else 0:
        reasons.append("There is 1 more reason." if more == 1 else f"There are {more:,} more reasons.")
    return reasons


def set_aside_ids(batch: Batch, at_most: int | None = None) -> list[str]:
    """Return the ids of a batch that TMS does not know, in order, `at_most` so many if that is given."""
    cids: list[str] = []
    chunks = BatchChunk.objects.filter(batch=batch, set_aside_count__gt=0).order_by("number")
    for part in chunks.values_list("set_aside", flat=True).iterator():
        cids += part
        if at_most is not None and len(cids) >= at_most:
            break
    return cids[:at_most]


def cids_of_batch(batch: Batch, cluster_url: str, *, accepted_for: int | None = None) -> list[str]:
    """Return the ids of a batch for a cluster, in order, each once; those that TMS did not know are among them.

    With an action code only those that were accepted for it.
    """
    chunks = BatchChunk.objects.filter(batch=batch, cluster_url=cluster_url).order_by("number")
    if accepted_for is not None:
        accepted = chunks.filter(action_code=accepted_for, state=BatchChunk.State.ACCEPTED)
        return [*dict.fromkeys(cid for cids in accepted.values_list("cids", flat=True) for cid in cids)]
    parts = ([*cids, *set_aside] for cids, set_aside in chunks.values_list("cids", "set_aside"))
    return [*dict.fromkeys(cid for part in parts for cid in part)]
