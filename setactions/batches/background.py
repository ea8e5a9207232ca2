"""Runs batches inside the server: in threads of the process that got the token, and of no other.

When the process is asked to end, Python waits for these threads: they finish the calls that are running,
and leave the rest stopped. When it is killed, the ledger shows the batch as stopped, too.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from django.conf import settings
from django.db import connections
from django.views.decorators.debug import sensitive_variables

from audit.actors import Actor
from audit.bodies import Compared
from jobs.batches.scopes import Scope
from jobs.batches.selectors import count_clusters
from jobs.models import Batch
from setactions.batches.afterwards import check_afterwards
from setactions.batches.runner import Runner
from setactions.handover import NO_THREAD
from setactions.limits import WORKERS_PER_BATCH, batch_slot
from setactions.refusal import Refusal
from setactions.token import Token
from setactions.word import NO_WORD, Word
from tmsdash.log_context import about

logger = logging.getLogger(__name__)


@sensitive_variables("token")
def start(
    batch: Batch,
    actor: Actor,
    token: Token,
    scope: Scope,
    *,
    word: Word = NO_WORD,
    check: bool = False,
    compared: Compared | None = None,
) -> None:
    """Carry `batch` from now on in this process; with `check` its end is followed by a look at what TMS shows.

    Raises Refusal: 503 too many, no thread, or VAR_DIR cannot be used; 409 another process carries it.
    """
    with ExitStack() as slot:
        slot.enter_context(batch_slot())
        workers = min(WORKERS_PER_BATCH, settings.TMS_BATCH_CALLS * count_clusters(batch))
        runner = Runner(batch, actor, token, workers=workers, scope=scope, word=word, compared=compared)
        if not _lease(runner):
            sentence = "This batch is still being run. Stop it, or wait a minute until its last calls are finished."
            raise Refusal(409, "request", sentence)
        # No daemon: what is being sent must be recorded before the process ends.
        afterwards = partial(check_afterwards, batch, actor, token) if check else lambda: None
        held = slot.pop_all()
        thread = threading.Thread(target=_carry, args=(runner, held, afterwards), name="batch", daemon=False)
        try:
            thread.start()
        except RuntimeError as error:  # the system allows no more threads, or Python is ending
            with held:
                runner.give_up(NO_THREAD)
            raise Refusal(503, "request", NO_THREAD) from error


def _lease(runner: Runner) -> bool:
    try:
        return runner.lease()
    except OSError as error:
        batch_id = runner.batch.batch_id
        logger.error("[BATCH] EXCEPTION: %s: not run. %s: %s", batch_id, error.filename, error.strerror)
        sentence = "This server cannot run a batch now, because it cannot use its own folder. Its log says why."
        raise Refusal(503, "request", sentence) from error


def _carry(runner: Runner, slot: ExitStack, afterwards: Callable[[], object]) -> None:
    with slot:
        runner.run()
    try:
        with about(batch_id=runner.batch.batch_id):
            afterwards()
    finally:
        connections.close_all()
