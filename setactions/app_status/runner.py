"""Carries one app status run in a thread of this process, which reads customer after customer.

1. It keeps to half of the pace of its cluster, and spreads its reads evenly over the minute. All runs of a cluster, in
   all processes, share that half, and other reads count against it: people who wait for an answer come first.
2. A customer whose read failed goes to the end of the line. They could not be read once TRIES reads failed; a read to
   which TMS answers that it is asked too often (429, 503) does not count as one.
3. A token that is not taken ends the run, as do FAILURES_IN_A_ROW reads that say nothing of their customers.
4. What was read is in the ledger before the next read, so whoever goes on after a runner that died reads nobody twice.
5. The token is in the memory of this process only, and is forgotten when a run is paused for long.
"""

import heapq
import logging
import time

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import Error as AnyDatabaseError
from django.db import close_old_connections, connections
from django.views.decorators.debug import sensitive_variables

from jobs.app_status import ledger
from jobs.app_status.selectors import waiting_customers
from jobs.models import AppRun, AppRunCustomer
from setactions.app_status.answers import apps_in
from setactions.liveness import FAILED, RunnerMark, is_dead
from setactions.permissions import may_set_action
from setactions.reads import ReadingFailedError, TooSoon, background_reads_per_minute, failed, read
from setactions.refusal import Refusal
from setactions.tms.clusters import Call, Cluster, Target, cluster_at
from setactions.tms.replies import Reply
from setactions.token import Token
from tmsdash.db.transactions import drop_if_broken
from tmsdash.processes import is_ending

logger = logging.getLogger(__name__)

POLL_S = 1.0  # how soon it sees what operators did, on this page or in another process
TRIES = 3
RETRY_S = 30
FAILURES_IN_A_ROW = 20
BUSY_S = 5  # after the dashboard was too busy for a read, or its database could not be used
DATABASE_TRIES = 10
PAUSED_AT_MOST_S = 600
ASKED_TOO_OFTEN = (429, 503)


class _Ended(Exception):
    """The runner has nothing left to do. The text is the reason why the run stops; empty where it has its own."""


class Runner:
    """One turn of this process at carrying a run. `carry` blocks until there is nothing left for it to do."""

    @sensitive_variables("token")
    def __init__(self, user_id: str, token: Token) -> None:
        """Prepare to read for a user with their token. Raises OSError if the runner cannot show that it is alive."""
        self._user_id, self._token = user_id, token
        self._line: list[tuple[float, int, int, AppRunCustomer]] = []  # when to read, position, failed tries
        self._next_read_at = 0.0
        self._failures_in_a_row = self._database_failures = 0
        self._paused_at: float | None = None
        self._mark = RunnerMark()
        self._mark.put_up()

    @property
    def name(self) -> str:
        """The name under which it holds leases."""
        return self._mark.name

    def lease(self, run: AppRun) -> bool:
        """Become the runner of a run; False if another process that may be alive is."""
        dead_runner = run.runner if is_dead(run.runner) else ""
        return ledger.lease(run, self.name, settings.TMS_BATCH_LEASE_S, dead_runner=dead_runner)

    def give_up(self) -> None:
        """Carry nothing after all."""
        self._mark.take_down()

    def carry(self, run: AppRun) -> None:
        """Carry the run, whose lease it has, until it is done, stopped or handed over."""
        logger.info("[APPS] %s: reading for %s", run.run_id, self._user_id)
        reason = FAILED  # unless there is another
        try:
            self._line = [(0.0, customer.position, 0, customer) for customer in waiting_customers(run)]
            reason = self._read_all(run)
        except Exception:
            logger.exception("[APPS] EXCEPTION: %s", run.run_id)
        finally:
            try:
                ledger.release(run, self.name, reason)
            except AnyDatabaseError as error:
                logger.warning("[APPS] WARNING: %s: its lease ends by itself: %s", run.run_id, error)
            self._mark.take_down()
            connections.close_all()
            logger.info("[APPS] %s: no longer read here. %s", run.run_id, reason)

    def _read_all(self, run: AppRun) -> str:
        """Read until that ends, and return the reason."""
        while True:
            try:
                with drop_if_broken("jobs", "default"):
                    wait_s = self._step(run)
                self._database_failures = 0
            except _Ended as ended:
                return str(ended)
            except AnyDatabaseError as error:
                logger.warning("[APPS] WARNING: %s: a database cannot be used: %s", run.run_id, error)
                self._database_failures += 1
                if self._database_failures == DATABASE_TRIES:
                    return "A database could not be used. Go on when it can, with your token."
                wait_s = BUSY_S
            close_old_connections()  # those of PostgreSQL go back to their pool, as after a request
            if wait_s > 0:
                time.sleep(min(wait_s, POLL_S))  # what operators do is seen in the ledger, which nobody announces

    def _step(self, run: AppRun) -> float:
        """Read one customer, if somebody is due, and return how many seconds to wait before the next step."""
        current = ledger.heartbeat(run, self.name, settings.TMS_BATCH_LEASE_S)
        if current is None:
            raise _Ended
        if is_ending():
            raise _Ended("The server that carried it was stopped. Go on with your token.")
        if current.state == AppRun.State.PAUSED:
            return self._pause()
        self._paused_at = None
        if not self._line:
            if ledger.finish(run, self.name):
                raise _Ended
            return POLL_S  # it was paused at this very moment
        wait_s = max(self._line[0][0], self._next_read_at) - time.monotonic()
        return wait_s if wait_s > 0 else self._read_next(run)

    def _pause(self) -> float:
        now = time.monotonic()
        self._paused_at = now if self._paused_at is None else self._paused_at
        if now - self._paused_at > PAUSED_AT_MOST_S:
            minutes = PAUSED_AT_MOST_S // 60
            raise _Ended(f"It was paused for {minutes} minutes, so your token was forgotten. Go on with it.")
        return POLL_S

    def _read_next(self, run: AppRun) -> float:
        _, position, tries, customer = self._line[0]
        cluster = cluster_at(run.cluster_url)
        if cluster is None:
            raise _Ended("Its cluster is not configured any more. Ask an administrator to check TMS_CLUSTERS.")
        self._check_user()
        began_at = time.monotonic()
        try:
            reply = self._read(cluster, customer.cid)
        except TooSoon as refusal:
            self._next_read_at = began_at + refusal.wait_s
            return 0
        except Refusal as refusal:
            logger.info("[APPS] %s: waits. %s", run.run_id, refusal.message)
            return BUSY_S
        self._next_read_at = began_at + 60 / background_reads_per_minute()
        if reply.http_status in (401, 403):
            raise _Ended(f"{failed(cluster, reply)} Then go on.")
        try:
            apps = apps_in(reply)
        except ReadingFailedError as error:
            self._put_off(position, tries, customer, reply, str(error))
            return 0
        ledger.keep_read(customer, apps)
        heapq.heappop(self._line)
        self._failures_in_a_row = 0
        return 0

    def _read(self, cluster: Cluster, cid: str) -> Reply:
        query = (("app", "ALL"), ("cid", cid))
        return read(Target(cluster, Call.GET_APPSTATUS, query), self._token, in_background=True)

    def _put_off(self, position: int, tries: int, customer: AppRunCustomer, reply: Reply, problem: str) -> None:
        """Let a customer who could not be read wait at the end of the line, or give them up."""
        status = reply.http_status
        is_busy = status in ASKED_TOO_OFTEN
        tries += not is_busy
        ledger.note_failed(customer, problem, for_good=tries >= TRIES)
        heapq.heappop(self._line)
        if tries < TRIES:
            # When a cluster that is asked too often may be read, the pace knows.
            due = time.monotonic() + (0 if is_busy else RETRY_S)
            heapq.heappush(self._line, (due, position, tries, customer))
        says_nothing = status is None or status >= 500 or status in (408, 429)
        self._failures_in_a_row = self._failures_in_a_row + 1 if says_nothing else 0
        if self._failures_in_a_row >= FAILURES_IN_A_ROW:
            raise _Ended(f"{FAILURES_IN_A_ROW} reads in a row failed, the last one like this: {problem} Go on later.")

    def _check_user(self) -> None:
        # Loaded for each customer: for an account that was switched off nothing more is read.
        user = get_user_model().objects.filter(username=self._user_id).first()
        if user is None or not may_set_action(user):
            raise _Ended(f"{self._user_id} may not trigger Set Actions any more, so nothing more is read.")
