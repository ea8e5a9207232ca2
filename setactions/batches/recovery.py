"""Brings chunks whose runner is gone, or whose outcome was unknown, to what the audit knows of them by now."""

import logging
from datetime import timedelta

from django.conf import settings

from audit.choices import IN_DOUBT_OUTCOMES
from audit.models import Attempt
from audit.selectors import attempts_by_id
from jobs.batches import ledger
from jobs.batches.selectors import batches_in_doubt, chunks_in_doubt
from jobs.models import Batch, BatchChunk
from jobs.selectors import jobs_present
from setactions.batches.policy import decide_afterwards
from setactions.liveness import has_living_runner
from setactions.queue.liveness import is_run
from setactions.results import result_of
from tmsdash.db import clock

logger = logging.getLogger(__name__)

RECORDING_S = 10  # for which a chunk may wait for locks, before its call and after it


def catch_up(*batches: Batch) -> int:
    """Bring the batches' chunks in doubt to where the audit is, and return how many changed.

    A chunk whose runner died waits again if its call had not begun. Otherwise it has the outcome of its attempt:
    unknown, as a rule, until that is found out. A batch whose runner died is stopped. Raises DatabaseError.
    """
    if dead := [batch for batch in batches if batch.runner and not has_living_runner(batch)]:
        ledger.release_dead(dead, "The process that ran it is gone. Go on with your token.")
        released = Batch.objects.in_bulk([batch.pk for batch in dead])
        for batch in dead:
            vars(batch).update(vars(released.get(batch.pk, batch)))
    chunks = {chunk.derived_attempt_id: chunk for chunk in chunks_in_doubt(batches) if not _is_carried(chunk)}
    attempts = attempts_by_id([*chunks])
    # A Job is evidence, even if the audit could not be told of it, so such a chunk is looked at closely.
    recorded = jobs_present([*chunks])
    return sum(
        _catch_up(chunk, attempts.get(attempt_id))
        for attempt_id, chunk in chunks.items()
        if attempt_id in recorded or not _stays_unknown(chunk, attempts.get(attempt_id))
    )


def catch_up_all() -> int:
    """Do the same for every batch, and return how many chunks changed."""
    return sum(catch_up(batch) for batch in batches_in_doubt())


def _is_carried(chunk: BatchChunk) -> bool:
    """Tell whether a chunk has a runner who will decide on it.

    One of a run in the queue has a worker of its own, whoever holds the lease by now. That one may have died: nobody
    calls for longer than a lease, or a call with its recording, lasts.
    """
    if chunk.state != BatchChunk.State.CALLING:
        return False
    if not is_run(chunk.runner):
        return chunk.runner == chunk.batch.runner
    longest = timedelta(seconds=max(settings.TMS_BATCH_LEASE_S, settings.TMS_DEADLINE_S + RECORDING_S))
    return chunk.started_at is not None and chunk.started_at > clock.now("jobs") - longest


def _stays_unknown(chunk: BatchChunk, attempt: Attempt | None) -> bool:
    """Tell whether the audit knows no more of a chunk than the chunk itself says."""
    return chunk.state == BatchChunk.State.UNKNOWN and attempt is not None and attempt.outcome in IN_DOUBT_OUTCOMES


def _catch_up(chunk: BatchChunk, attempt: Attempt | None) -> bool:
    if attempt is None:  # should its runner wake up after all, both use the same attempt id, and one call is made
        return ledger.unclaim(chunk)
    decision = decide_afterwards(result_of(attempt), chunk)
    is_changed = decision.state != chunk.state and ledger.settle(chunk, decision)
    if is_changed:
        facts, ids = (chunk.number + 1, decision.state.label), {"batch_id": chunk.batch.batch_id}
        logger.info("[BATCH] %s, chunk %d: %s", ids["batch_id"], *facts, extra=ids | {"attempt_id": chunk.attempt_id})
    return is_changed
