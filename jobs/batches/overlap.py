"""Which batches are about to send, or sent, an action for customers of a list."""

from collections.abc import Iterable
from datetime import timedelta

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from jobs.models import Batch, BatchChunk

State = BatchChunk.State
# What became of these chunks is known, and it was nothing. Whoever sends them again asks first.
NOTHING_DONE = (State.REJECTED, State.SET_ASIDE, State.REFUSED, State.NOT_SENT, State.NOT_APPLIED)


def open_batches() -> QuerySet[Batch]:
    """Return the batches that run or are paused, newest first, and those just made that nobody carries yet.

    One whose runner died is stopped, whatever it left written.
    """
    now, lease = timezone.now(), timedelta(seconds=settings.TMS_BATCH_LEASE_S)
    running = Q(state=Batch.State.RUNNING, runner_until__gt=now)
    starting = Q(state=Batch.State.STOPPED, reason="", created_at__gt=now - lease)
    return Batch.objects.filter(running | starting | Q(state=Batch.State.PAUSED)).order_by("-id")


def batches_sharing(
    cluster_url: str, action_code: int, cids: Iterable[str], *, batches: QuerySet[Batch]
) -> dict[Batch, frozenset[str]]:
    """Return those of some batches whose chunks have the same action for any of `cids`, and for which of them.

    Chunks that came to nothing do not count.
    """
    wanted, shared = set(cids), {}
    for batch in batches:
        chunks = BatchChunk.objects.filter(batch=batch, cluster_url=cluster_url, action_code=action_code)
        lists = chunks.exclude(state__in=NOTHING_DONE).order_by("number").values_list("cids", flat=True)
        if common := {cid for part in lists.iterator() for cid in wanted.intersection(part)}:
            shared[batch] = frozenset(common)
    return shared
