"""Carries app status runs through the queue: Celery's workers, on any number of hosts, read customer after customer.

One task of a run goes round. What holds for all that goes through the queue is in `setactions.queue.relay`; besides:

1. Turns are numbered. The ledger gives each to one task, and the next turn is for the task that this one sends. So of
   a task that comes twice one goes on.
2. The other one waits until no turn can last that long. If there was no next one by then, whoever had the turn is dead,
   and it goes on in their place. So a run outlives its worker even if nobody else has the token.
"""

import logging
import time

from celery.exceptions import OperationalError as QueueError
from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.views.decorators.debug import sensitive_variables

from jobs.app_status import ledger
from jobs.models import AppRun
from setactions.app_status.reader import EndedError, Reader
from setactions.app_status.runner import give_back
from setactions.app_status.runs import Run
from setactions.liveness import FAILED
from setactions.queue.relay import Relay
from setactions.refusal import Refusal
from setactions.token import Token
from tmsdash.celery import app
from tmsdash.db.transactions import drop_if_broken

logger = logging.getLogger(__name__)

POLL_S = 2.0  # how soon it sees what operators did
TURN_S = 3  # after which a worker sees to other runs, and ends if it is asked to
RETRY_S = 2  # after the ledger could not be used
RECORDING_S = 10  # for which a turn may wait for locks besides its call

UNREACHABLE = "The queue cannot be reached, so nothing is read. Try again, then tell the admin."

_CARRY = "tmsdash.read_apps"  # the name of the task
relay = Relay(
    _CARRY,
    AppRun,
    "run_id",
    unseal=Run.unsealed,
    release=ledger.release,
    facts=lambda run: {"turn": run.turn},
    log_word="APPS",
)


@sensitive_variables("token")
def start(row: AppRun, name: str, token: Token) -> None:
    """Let workers carry a run from now on, which is leased under this name. Raises Refusal: 503 no queue."""
    run = Run(row.run_id, name, token)
    try:
        relay.send_all(run, row)
    except QueueError as error:
        logger.error("[APPS] EXCEPTION: %s: no task was sent: %s", row.run_id, error)
        ledger.release(row, name, UNREACHABLE)
        raise Refusal(503, "request", UNREACHABLE) from None
    relay.watch.keep(run)


@sensitive_variables()
def _carry(run_id: str, run: str, sealed: str, turn: int, waited_s: float = 0) -> None:
    """Read for a turn of the `sealed` run of this name, if it is the `turn` that is next.

    `waited_s` is how long this task has waited for whoever has its turn.
    """
    opened = relay.opened(run_id, run, sealed)
    if opened is None:
        return
    sealed_run, row = opened
    if row.state not in ledger.UNFINISHED:
        give_back(row, run, "")
        return
    is_dead = waited_s > TURN_S + settings.TMS_DEADLINE_S + RECORDING_S  # whoever had the turn
    try:
        with drop_if_broken("jobs"):
            next_turn = ledger.take_turn(row, run, [turn, turn + 1] if is_dead else [turn], settings.TMS_BATCH_LEASE_S)
    except AnyDatabaseError as error:  # whoever watches the run sends another task
        logger.warning("[APPS] WARNING: %s: the ledger cannot be used: %s", run_id, error)
        return
    if next_turn is not None:
        with relay.watch.working(sealed_run):
            _take_turn(sealed_run, row, next_turn)
    elif row.turn <= turn + 1:
        relay.send_next(sealed_run, POLL_S, turn=turn, waited_s=waited_s + POLL_S)


carry = app.task(name=_CARRY)(_carry)


def _take_turn(run: Run, row: AppRun, next_turn: int) -> None:
    """Read what is due, and send the task of the next turn, unless the run has ended."""
    until = time.monotonic() + TURN_S
    reader = Reader(row, run.name, run.token)
    wait_s = 0.0
    try:
        with drop_if_broken("jobs", "default"):
            while not wait_s:
                wait_s = reader.step()
                if time.monotonic() > until:
                    break
    except EndedError as ended:
        _end(run, row, str(ended))
        return
    except AnyDatabaseError as error:
        logger.warning("[APPS] WARNING: %s: a database cannot be used: %s", row.run_id, error)
        wait_s = RETRY_S
    except Exception:
        logger.exception("[APPS] EXCEPTION: %s", row.run_id)
        _end(run, row, FAILED)
        return
    relay.send_next(run, min(wait_s, POLL_S), turn=next_turn)


def _end(run: Run, row: AppRun, reason: str) -> None:
    give_back(row, run.name, reason)
    logger.info("[APPS] %s: no longer read in the queue. %s", row.run_id, reason)
