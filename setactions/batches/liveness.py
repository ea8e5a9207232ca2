"""Whether batches in the queue have had a worker, and since when not."""

from datetime import datetime

from django.db.models import Max

from jobs.models import Batch
from setactions.queue.liveness import begun_at_of, lacks_worker


def waits_for_worker_since(batch: Batch) -> datetime | None:
    """Return since when a batch in the queue has had no worker; None if it has one, or needs none."""
    if not lacks_worker(batch):
        return None
    since = begun_at_of(batch.runner)
    last = batch.chunks.filter(started_at__gt=since).aggregate(Max("started_at"), Max("ended_at"))
    for at in filter(None, last.values()):
        since = max(since, at)
    return since
