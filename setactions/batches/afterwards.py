"""The check at the end of a batch, while its token is in memory: what TMS shows of what it has accepted.

Each cluster is read once, and what that confirms of each job is written down. A check that fails changes nothing of
the batch, which is over: the log says why, and the pages offer to read again.
"""

import logging
import time
from collections.abc import Callable

from django.db import Error as AnyDatabaseError
from django.views.decorators.debug import sensitive_variables

from audit.actors import Actor
from jobs.models import Batch
from setactions.live.confirmations import BatchCheck, confirm_batch
from setactions.refusal import Refusal
from setactions.token import Token
from tmsdash.db.transactions import drop_if_broken
from tmsdash.processes import is_ending

logger = logging.getLogger(__name__)

# TMS goes on working after it has accepted. Most customers of the last chunk move within this; who has not is shown
# where they still are.
CHECK_AFTER_S = 5
POLL_S = 0.2


@sensitive_variables("token")
def check_afterwards(
    batch: Batch,
    actor: Actor,
    token: Token,
    *,
    is_called_off: Callable[[], bool] = is_ending,
    wait_s: float | None = None,
) -> BatchCheck | None:
    """Wait `wait_s` seconds, by default CHECK_AFTER_S, and return what TMS shows of a batch that is done.

    None if it is not done, or the check is called off meanwhile. Why it failed is a problem of the check.
    """
    try:
        if not is_done(batch):
            return None
        end = time.monotonic() + (CHECK_AFTER_S if wait_s is None else wait_s)
        while (left_s := end - time.monotonic()) > 0:
            if is_called_off():
                return None
            time.sleep(min(POLL_S, left_s))  # TMS tells nobody when it is done
        check = confirm_batch(batch, token, actor.user_id)
    except (Refusal, AnyDatabaseError) as error:
        check = BatchCheck((), [error.message if isinstance(error, Refusal) else str(error)])
    for problem in check.problems:
        logger.warning("[BATCH] WARNING: %s: not checked: %s", batch.batch_id, problem)
    if check.customer_count:
        counts = check.confirmed, check.customer_count
        logger.info("[BATCH] %s: checked, %d of %d customers confirmed", batch.batch_id, *counts)
    return check


def is_done(batch: Batch) -> bool:
    """Tell whether all of a batch was sent; one that was stopped has no token any more, or will go on."""
    with drop_if_broken("jobs"):
        return Batch.objects.filter(pk=batch.pk, state=Batch.State.DONE).exists()
