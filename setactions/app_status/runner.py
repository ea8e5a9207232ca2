"""Carries one app status run in a thread of this process, customer after customer, see `reader`.

The token is in the memory of this process only.
"""

import logging
import time

from django.db import Error as AnyDatabaseError
from django.db import close_old_connections, connections
from django.views.decorators.debug import sensitive_variables

from jobs.app_status import ledger
from jobs.models import AppRun
from setactions.app_status.reader import EndedError, Reader
from setactions.liveness import FAILED, RunnerMark
from setactions.token import Token
from tmsdash.db.transactions import drop_if_broken
from tmsdash.processes import is_ending

logger = logging.getLogger(__name__)

POLL_S = 1.0  # how soon it sees what operators did, on this page or in another process
BUSY_S = 5  # after a database could not be used
DATABASE_TRIES = 10


class Runner:
    """One turn of this process at carrying a run. `carry` blocks until there is nothing left for it to do."""

    @sensitive_variables("token")
    def __init__(self, user_id: str, token: Token) -> None:
        """Prepare to read for a user with their token. Raises OSError if the runner cannot show that it is alive."""
        self._user_id, self._token = user_id, token
        self._mark = RunnerMark()
        self._mark.put_up()

    @property
    def name(self) -> str:
        """The name under which it holds leases."""
        return self._mark.name

    def give_up(self) -> None:
        """Carry nothing after all."""
        self._mark.take_down()

    def carry(self, run: AppRun) -> None:
        """Carry the run, whose lease it has, until it is done, stopped or handed over."""
        logger.info("[APPS] %s: reading for %s", run.run_id, self._user_id)
        reason = FAILED  # unless there is another
        try:
            reason = self._read_all(run)
        except Exception:
            logger.exception("[APPS] EXCEPTION: %s", run.run_id)
        finally:
            give_back(run, self.name, reason)
            self._mark.take_down()
            connections.close_all()
            logger.info("[APPS] %s: no longer read here. %s", run.run_id, reason)

    def _read_all(self, run: AppRun) -> str:
        """Read until that ends, and return the reason."""
        reader = Reader(run, self.name, self._token)
        failures = 0
        while not is_ending():
            try:
                with drop_if_broken("jobs", "default"):
                    wait_s = reader.step()
                failures = 0
            except EndedError as ended:
                return str(ended)
            except AnyDatabaseError as error:
                logger.warning("[APPS] WARNING: %s: a database cannot be used: %s", run.run_id, error)
                failures += 1
                if failures == DATABASE_TRIES:
                    return "A database could not be used. Go on when it can, with your token."
                wait_s = BUSY_S
            close_old_connections()  # those of PostgreSQL go back to their pool, as after a request
            if wait_s > 0:
                time.sleep(min(wait_s, POLL_S))  # what operators do is seen in the ledger, which nobody announces
        return "The server that carried it was stopped. Go on with your token."


def give_back(run: AppRun, runner: str, reason: str) -> None:
    """Give the lease back; a run that is not over is stopped for `reason`."""
    try:
        ledger.release(run, runner, reason)
    except AnyDatabaseError as error:
        logger.warning("[APPS] WARNING: %s: its lease ends by itself: %s", run.run_id, error)
