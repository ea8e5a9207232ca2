"""Brings chunks whose runner is gone, or whose outcome was unknown, to what the audit knows of them by now."""

import logging

from audit.selectors import find_attempt
from jobs.batches import ledger
from jobs.batches.selectors import batches_in_doubt, chunks_in_doubt
from jobs.models import Batch, BatchChunk
from setactions.batches.liveness import has_living_runner
from setactions.batches.policy import decide_afterwards
from setactions.results import result_of

logger = logging.getLogger(__name__)


def catch_up(batch: Batch) -> int:
    """Bring the batch's chunks in doubt to where the audit is, and return how many changed.

    A chunk whose runner died waits again if its call had not begun. Otherwise it has the outcome of its attempt:
    unknown, as a rule, until that is found out. A batch whose runner died is stopped. Raises DatabaseError.
    """
    if batch.runner and not has_living_runner(batch):
        ledger.release(batch, batch.runner, "The process that ran it is gone. Go on with your token.")
        batch.refresh_from_db()
    return sum(_catch_up(batch, chunk) for chunk in chunks_in_doubt(batch))


def catch_up_all() -> int:
    """Do the same for every batch, and return how many chunks changed."""
    return sum(catch_up(batch) for batch in batches_in_doubt())


def _catch_up(batch: Batch, chunk: BatchChunk) -> bool:
    chunk.batch = batch
    if chunk.state == BatchChunk.State.CALLING and chunk.runner == batch.runner:
        return False  # its runner will decide on it
    attempt = find_attempt(chunk.derived_attempt_id)
    if attempt is None:  # should its runner wake up after all, both use the same attempt id, and one call is made
        return ledger.unclaim(chunk)
    decision = decide_afterwards(result_of(attempt), chunk)
    is_changed = decision.state != chunk.state and ledger.settle(chunk, decision)
    if is_changed:
        logger.info("[BATCH] %s, chunk %d: %s", batch.batch_id, chunk.number + 1, decision.state.label)
    return is_changed
