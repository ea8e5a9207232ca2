"""Which batches are about to send, or sent, an action for customers of a list."""

from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import timedelta

from django.conf import settings
from django.db import connections
from django.db.models import Q, QuerySet, Value

from jobs.batches.lists import Chunk, lists_of
from jobs.batches.scopes import Scope
from jobs.batches.selectors import in_order
from jobs.models import Batch, BatchChunk
from jobs.stored import DATABASE
from tmsdash.db import clock

State = BatchChunk.State
# What became of these chunks is known, and it was nothing. Whoever sends them again asks first.
NOTHING_DONE = (State.REJECTED, State.SET_ASIDE, State.REFUSED, State.NOT_SENT, State.NOT_APPLIED)
# What somebody wrote into the database that we never would. Such a chunk is not sent, so nobody need wait for it.
UNREADABLE = (ValueError, TypeError, RecursionError)
COUNTED = frozenset(State).difference(NOTHING_DONE)
SENT = COUNTED.difference([State.WAITING])
RECENTLY = timedelta(days=1)

SharedWithBatches = dict[Batch, frozenset[str]]  # the customers of a list that each batch asks for


class BatchOverlapError(Exception):
    """Customers of a new batch are part of batches that are open: `shared` tells which."""

    def __init__(self, shared: SharedWithBatches) -> None:
        super().__init__(f"shares customers with {len(shared)} batches")
        self.shared = shared


def open_batches() -> QuerySet[Batch]:
    """Return the batches that run or are paused, and those just made that nobody carries yet, in no order.

    One whose runner died is stopped, whatever it left written.
    """
    now, lease = clock.now(DATABASE), timedelta(seconds=settings.TMS_BATCH_LEASE_S)
    running = Q(state=Batch.State.RUNNING, runner_until__gt=now)
    starting = Q(state=Batch.State.STOPPED, reason="", created_at__gt=now - lease)
    return Batch.objects.filter(running | starting | Q(state=Batch.State.PAUSED)).order_by()


def ended_batches() -> QuerySet[Batch]:
    """Return the batches that were done, or stopped, within TMS_DUPLICATE_WINDOW_S, in no order."""
    now = clock.now(DATABASE)
    since = now - timedelta(seconds=settings.TMS_DUPLICATE_WINDOW_S)
    died = Q(state=Batch.State.RUNNING, runner_until__gt=since, runner_until__lte=now)
    ended = Q(state__in=[Batch.State.DONE, Batch.State.STOPPED], ended_at__gt=since)
    return Batch.objects.filter(died | ended).order_by()


# Every batch that is open or has ended lately meets this, and few others do: as a rule no batch at all. Each Set Action
# asks, so that the text is always the same, and each alternative has an index of its own.
_MAY_COUNT = """
    SELECT 1 FROM jobs_batch
    WHERE state = 'running' OR state = 'paused' OR ended_at > %s OR created_at > %s LIMIT 1"""


def _may_count() -> bool:
    """Tell whether there may be a batch that `open_batches` or `ended_batches` returns."""
    connection, now = connections[DATABASE], clock.now(DATABASE)
    spans_s = settings.TMS_DUPLICATE_WINDOW_S, settings.TMS_BATCH_LEASE_S
    moments = [connection.ops.adapt_datetimefield_value(now - timedelta(seconds=span_s)) for span_s in spans_s]
    with connection.cursor() as cursor:
        cursor.execute(_MAY_COUNT, moments)
        return cursor.fetchone() is not None


def batches_sharing(
    cluster_url: str, action_code: int, cids: Iterable[str], *, but: Batch | None = None
) -> SharedWithBatches:
    """Return the batches but one that ask for any of `cids` with the same action, and for which, the newest first.

    Of open ones all customers count, unless their chunks came to nothing. Of those that ended lately all count that
    were sent: the first of them may have been accepted long before the end.
    """
    if not _may_count():
        return {}
    of_open, of_ended = (
        batches.values_list(Value(place), "pk") for place, batches in enumerate((open_batches(), ended_batches()))
    )
    shared: SharedWithBatches = {}
    for is_ended, pk in sorted(of_open.union(of_ended, all=True)):
        shared |= _shared(cluster_url, action_code, cids, [pk], SENT if is_ended else COUNTED)
    if but:
        shared.pop(but, None)
    return dict(sorted(shared.items(), key=lambda item: item[0].pk, reverse=True))


def _shared(
    cluster_url: str,
    action_code: int,
    cids: Iterable[str],
    keys: Iterable[int],
    states: Collection[BatchChunk.State],
) -> SharedWithBatches:
    """Return those of the batches with these keys whose chunks in these states ask it for any of `cids`."""
    wanted, shared = set(cids), {}
    for pk in keys:
        chunks = BatchChunk.objects.filter(
            batch_id=pk, cluster_url=cluster_url, action_code=action_code, state__in=states
        )
        if common := _common(wanted, chunks):
            with suppress(*UNREADABLE):
                shared[Batch.objects.get(pk=pk)] = common
    return shared


def _common(wanted: set[str], chunks: QuerySet[BatchChunk]) -> frozenset[str]:
    """Return which of the `wanted` customers are in any of the chunks."""
    lists = chunks.only("number", "cids")
    with suppress(*UNREADABLE):
        return frozenset(cid for chunk in in_order(lists) for cid in wanted.intersection(chunk.cids))
    common: set[str] = set()
    for pk in chunks.values_list("pk", flat=True):
        with suppress(*UNREADABLE):
            common.update(wanted.intersection(lists.get(pk=pk).cids))
    return frozenset(common)


def stopped_batches_with(chunks: Iterable[Chunk]) -> SharedWithBatches:
    """Return the batches of the last day that stopped before they had sent customers of these chunks, and which."""
    stopped = Batch.objects.filter(created_at__gt=clock.now(DATABASE) - RECENTLY).exclude(state=Batch.State.DONE)
    stopped = stopped.exclude(pk__in=open_batches().values("pk")).order_by("-id")
    keys = [*stopped.values_list("pk", flat=True)]
    return _united(_shared(*target, keys, Scope.REST.states) for target in lists_of(chunks))


def batches_sharing_chunks(chunks: Iterable[Chunk]) -> SharedWithBatches:
    """Do as `batches_sharing` does for all customers of some chunks."""
    return _united(batches_sharing(*target) for target in lists_of(chunks))


def _united(parts: Iterable[SharedWithBatches]) -> SharedWithBatches:
    united: SharedWithBatches = {}
    for shared in parts:
        for batch, common in shared.items():
            united[batch] = united.get(batch, frozenset()) | common
    return united
