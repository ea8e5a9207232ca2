"""Which batches are about to send, or sent, an action for customers of a list."""

from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import timedelta

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from jobs.batches.lists import Chunk, lists_of
from jobs.batches.scopes import Scope
from jobs.models import Batch, BatchChunk

State = BatchChunk.State
# What became of these chunks is known, and it was nothing. Whoever sends them again asks first.
NOTHING_DONE = (State.REJECTED, State.SET_ASIDE, State.REFUSED, State.NOT_SENT, State.NOT_APPLIED)
# What somebody wrote into the database that we never would. Such a chunk is not sent, so nobody need wait for it.
UNREADABLE = (ValueError, TypeError, RecursionError)
COUNTED = frozenset(State).difference(NOTHING_DONE)
RECENTLY = timedelta(days=1)

SharedWithBatches = dict[Batch, frozenset[str]]  # the customers of a list that each batch asks for


class BatchOverlapError(Exception):
    """Customers of a new batch are part of batches that are open: `shared` tells which."""

    def __init__(self, shared: SharedWithBatches) -> None:
        super().__init__(f"shares customers with {len(shared)} batches")
        self.shared = shared


def counting_batches() -> QuerySet[Batch]:
    """Return the batches whose customers count as asked for, newest first.

    These are the ones that run or are paused, those just made that nobody carries yet, and those that were done within
    TMS_DUPLICATE_WINDOW_S: what they sent first may be older than that. One whose runner died is stopped, whatever it
    left written.
    """
    now, lease = timezone.now(), timedelta(seconds=settings.TMS_BATCH_LEASE_S)
    done = Q(state=Batch.State.DONE, ended_at__gt=now - timedelta(seconds=settings.TMS_DUPLICATE_WINDOW_S))
    running = Q(state=Batch.State.RUNNING, runner_until__gt=now)
    starting = Q(state=Batch.State.STOPPED, reason="", created_at__gt=now - lease)
    return Batch.objects.filter(running | starting | done | Q(state=Batch.State.PAUSED)).order_by("-id")


def batches_sharing(
    cluster_url: str,
    action_code: int,
    cids: Iterable[str],
    *,
    batches: QuerySet[Batch],
    states: Collection[BatchChunk.State] = COUNTED,
) -> SharedWithBatches:
    """Return those of some batches whose chunks have the same action for any of `cids`, and for which of them.

    Only chunks in these `states` count: those that came to nothing do not, unless that is asked for.
    """
    wanted, shared = set(cids), {}
    for pk in batches.values_list("pk", flat=True):
        chunks = BatchChunk.objects.filter(
            batch_id=pk, cluster_url=cluster_url, action_code=action_code, state__in=states
        )
        if common := _common(wanted, chunks):
            with suppress(*UNREADABLE):
                shared[Batch.objects.get(pk=pk)] = common
    return shared


def _common(wanted: set[str], chunks: QuerySet[BatchChunk]) -> frozenset[str]:
    """Return which of the `wanted` customers are in any of the chunks."""
    lists = chunks.order_by("number").values_list("cids", flat=True)
    with suppress(*UNREADABLE):
        return frozenset(cid for part in lists.iterator() for cid in wanted.intersection(part))
    common: set[str] = set()
    for pk in chunks.values_list("pk", flat=True):
        with suppress(*UNREADABLE):
            common.update(wanted.intersection(lists.get(pk=pk)))
    return frozenset(common)


def stopped_batches_with(chunks: Iterable[Chunk]) -> SharedWithBatches:
    """Return the batches of the last day that stopped before they had sent customers of these chunks, and which."""
    stopped = Batch.objects.filter(created_at__gt=timezone.now() - RECENTLY).exclude(state=Batch.State.DONE)
    stopped = stopped.exclude(pk__in=counting_batches().order_by().values("pk")).order_by("-id")
    return batches_sharing_chunks(chunks, batches=stopped, states=Scope.REST.states)


def batches_sharing_chunks(
    chunks: Iterable[Chunk], *, batches: QuerySet[Batch], states: Collection[BatchChunk.State] = COUNTED
) -> SharedWithBatches:
    """Do as `batches_sharing` does for all customers of some chunks."""
    shared: SharedWithBatches = {}
    for cluster_url, action_code, cids in lists_of(chunks):
        for batch, common in batches_sharing(cluster_url, action_code, cids, batches=batches, states=states).items():
            shared[batch] = shared.get(batch, frozenset()) | common
    return shared
