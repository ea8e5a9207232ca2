"""Reads one customer of an app status run after the other; all that it must remember between two is in the ledger.

1. It keeps to half of the pace of its cluster, and spreads its reads evenly over the minute. All runs of a cluster, in
   all processes, share that half, and other reads count against it: people who wait for an answer come first.
2. A customer whose read failed goes to the end of the line. They could not be read once TRIES reads failed; a read to
   which TMS answers that it is asked too often (429, 503) does not count as one.
3. A token that is not taken ends the run, as do FAILURES_IN_A_ROW reads that say nothing of their customers.
4. What was read is in the ledger before the next read, so whoever goes on after a runner that died reads nobody twice.
5. A run that is paused for long ends, so that its token is forgotten.
"""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth import get_user_model
from django.views.decorators.debug import sensitive_variables

from jobs.app_status import ledger
from jobs.app_status.selectors import next_customer
from jobs.models import AppRun, AppRunCustomer
from setactions.app_status.answers import apps_in
from setactions.permissions import may_set_action
from setactions.reads import ReadingFailedError, TooSoon, background_reads_per_minute, failed, read
from setactions.refusal import Refusal
from setactions.tms.clusters import Call, Cluster, Target, cluster_at
from setactions.tms.replies import Reply
from setactions.token import Token
from tmsdash.db import clock

logger = logging.getLogger(__name__)

PAUSED_POLL_S = 2.0
SOON_S = 1.0  # until it looks once more at a run that was paused at the very moment of its end
TRIES = 3
RETRY_S = 30
FAILURES_IN_A_ROW = 20
BUSY_S = 5  # after the dashboard was too busy for a read
PAUSED_AT_MOST_S = 600
ASKED_TOO_OFTEN = (429, 503)


class EndedError(Exception):
    """There is nothing left to do. The text is the reason why the run stops; empty where it has its own."""


class Reader:
    """Reads for the runner of this name, which holds the lease of a run."""

    @sensitive_variables("token")
    def __init__(self, run: AppRun, runner: str, token: Token) -> None:
        """Prepare to read with the token of the run's user."""
        self._run, self._runner, self._token = run, runner, token

    def step(self) -> float:
        """Read one customer, if somebody is due, and return how many seconds to wait before the next step.

        Raises EndedError, and DatabaseError.
        """
        current = ledger.heartbeat(self._run, self._runner, settings.TMS_BATCH_LEASE_S)
        if current is None:
            raise EndedError
        now = clock.now("jobs")
        if current.state == AppRun.State.PAUSED:
            return _pause(current, now)
        if current.due_at and current.due_at > now:
            return (current.due_at - now).total_seconds()
        customer = next_customer(current)
        if customer is None:
            if ledger.finish(current, self._runner):
                raise EndedError
            return SOON_S
        if customer.due_at and customer.due_at > now:
            return (customer.due_at - now).total_seconds()
        return self._read_next(current, customer, now)

    def _read_next(self, run: AppRun, customer: AppRunCustomer, now: datetime) -> float:
        cluster = cluster_at(run.cluster_url)
        if cluster is None:
            raise EndedError("Its cluster is not configured any more. Ask an administrator to check TMS_CLUSTERS.")
        _check_user(run.user_id)
        try:
            reply = self._read(cluster, customer.cid)
        except TooSoon as refusal:
            return refusal.wait_s
        except Refusal as refusal:
            logger.info("[APPS] %s: waits. %s", run.run_id, refusal.message)
            return BUSY_S
        next_at = now + timedelta(seconds=60 / background_reads_per_minute())
        if reply.http_status in (401, 403):
            raise EndedError(f"{failed(cluster, reply)} Then go on.")
        try:
            ledger.keep_read(customer, apps_in(reply), next_at)
        except ReadingFailedError as error:
            _put_off(customer, reply, str(error), now, next_at)
        return 0

    def _read(self, cluster: Cluster, cid: str) -> Reply:
        query = (("app", "ALL"), ("cid", cid))
        return read(Target(cluster, Call.GET_APPSTATUS, query), self._token, in_background=True)


def _pause(run: AppRun, now: datetime) -> float:
    if run.paused_at and now - run.paused_at > timedelta(seconds=PAUSED_AT_MOST_S):
        minutes = PAUSED_AT_MOST_S // 60
        raise EndedError(f"It was paused for {minutes} minutes, so your token was forgotten. Go on with it.")
    return PAUSED_POLL_S


def _put_off(customer: AppRunCustomer, reply: Reply, problem: str, now: datetime, next_at: datetime) -> None:
    """Let a customer who could not be read wait at the end of the line, or give them up."""
    status = reply.http_status
    is_try = status not in ASKED_TOO_OFTEN  # else the pace knows when the cluster may be read
    failures = ledger.note_failed(
        customer,
        problem,
        for_good=customer.tries + is_try >= TRIES,
        is_try=is_try,
        says_nothing=status is None or status >= 500 or status in (408, 429),
        retry_at=now + timedelta(seconds=RETRY_S),
        next_at=next_at,
    )
    if failures >= FAILURES_IN_A_ROW:
        raise EndedError(f"{FAILURES_IN_A_ROW} reads in a row failed, the last one like this: {problem} Go on later.")


def _check_user(user_id: str) -> None:
    # Loaded for each customer: for an account that was switched off nothing more is read.
    user = get_user_model().objects.filter(username=user_id).first()
    if user is None or not may_set_action(user):
        raise EndedError(f"{user_id} may not trigger Set Actions any more, so nothing more is read.")
