"""Runs batches inside the server: in threads of the process that got the token, and of no other.

When the process is asked to end, Python waits for these threads: they finish the calls that are running,
and leave the rest stopped. When it is killed, the ledger shows the batch as stopped, too.
"""

import logging
import threading

from django.conf import settings
from django.db import connections
from django.views.decorators.debug import sensitive_variables

from audit.actors import Actor
from jobs.batches.selectors import count_clusters
from jobs.models import Batch
from setactions.batches.runner import Runner
from setactions.refusal import Refusal
from setactions.token import Token

logger = logging.getLogger(__name__)

MAX_BATCHES = 8  # carried by one process at once
MAX_WORKERS = 16  # of one batch

_places = threading.BoundedSemaphore(MAX_BATCHES)


@sensitive_variables("token")
def start(batch: Batch, actor: Actor, token: Token) -> None:
    """Carry `batch` from now on in this process. Raises Refusal: 503 too many, or passive; 409 somebody else does."""
    if settings.TMS_PASSIVE:
        raise Refusal(503, "request", "This server is in passive mode and sends nothing. Use the active one.")
    if not _places.acquire(blocking=False):
        raise Refusal(
            503, "request", f"{MAX_BATCHES} batches are running here already. Go on when one of them is done."
        )
    is_started = False
    try:
        workers = min(MAX_WORKERS, settings.TMS_BATCH_CALLS * count_clusters(batch))
        runner = Runner(batch, actor, token, workers=workers)
        if not runner.lease():
            sentence = "This batch is still being run: its last calls are being finished. Try again in a minute."
            raise Refusal(409, "request", sentence)
        # No daemon: what is being sent must be recorded before the process ends.
        threading.Thread(target=_carry, args=(runner,), name="batch", daemon=False).start()
        is_started = True
    finally:
        if not is_started:
            _places.release()


def _carry(runner: Runner) -> None:
    try:
        runner.run()
    except Exception:
        logger.exception("[BATCH] EXCEPTION: %s", runner.batch.batch_id)
    finally:
        connections.close_all()
        _places.release()
