"""Sends the tasks of runs through the queue, and sees to it that no run is left without them.

What is carried like this, a batch or an app status run, has a *run*, which holds its lease as a runner does. A task
says no more than "carry this for a turn": the ledger decides what that means, if anything, and each task sends its
successor. These rules hold:

1. A task that comes twice, late or never does no harm. The ledger gives each piece of work to one of them, and none to
   a run that has lost its lease.
2. Whoever has the token of a run, the server that started it and each worker that had a task of it, watches its lease:
   if nobody extends it any more, its tasks are lost, and one of them lets a new run in its place send new ones. All of
   them watch that one from then on.
3. The token crosses the queue sealed, with all else that the run may do. Each worker seals it anew for the next task,
   so that what stays in the queue for ten minutes opens no more. It is never in a database.
"""

import logging
import signal
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from celery import signals
from celery.exceptions import OperationalError as QueueError
from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.db import connections
from django.views.decorators.debug import sensitive_variables
from redis.exceptions import RedisError

from audit.groups import FLUSH_WAIT_S, flush
from jobs import leases
from jobs.leases import Carried
from setactions.queue.liveness import begun_at_of, is_of_same_start, new_run_name
from setactions.queue.sealed import TooOldError
from setactions.queue.watch import Watch
from setactions.refusal import Refusal
from tmsdash import broker
from tmsdash.broker import QUEUE
from tmsdash.celery import app
from tmsdash.db import clock
from tmsdash.db.transactions import drop_if_broken
from tmsdash.processes import ignore, share_interpreter
from tmsdash.seals import BrokenSealError

logger = logging.getLogger(__name__)

APART_S = 0.04  # calls that begin together end together, and then wait for one another to be recorded
# Shares of a lease. With less than half of it left, the tasks are lost, or wait in the queue: then it is extended, but
# not so far that a worker seems to have one of them.
LEASE_LOST, LEASE_OF_WAITING = 0.5, 0.8
ONCE_MORE = {"max_retries": 1, "interval_start": 0, "interval_step": 0}  # on a fresh connection

TOO_OLD = "a task was sealed too long ago, or this host's clock is wrong, so it ends"
UNREADABLE = (
    "A worker could not unseal the token: it was sealed more than ten minutes ago, or under another TOKEN_KEY, or the "
    "clocks of the hosts differ."
)
GO_ON = "Go on with your token."


class Run(Protocol):
    """A run, whatever it carries: a frozen dataclass that holds the token."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def carried_id(self) -> uuid.UUID: ...
    @property
    def name(self) -> str: ...
    @property
    def tasks(self) -> int: ...
    def sealed(self) -> str: ...


R = TypeVar("R", bound=Run)
C = TypeVar("C", bound=Carried)


class Relay(Generic[R, C]):
    """The tasks of all runs of one kind that this process knows of."""

    def __init__(
        self,
        task: str,
        model: type[C],
        id_name: str,
        *,
        unseal: Callable[[uuid.UUID, str, str], R],
        release: Callable[[C, str, str], object],
        facts: Callable[[C], Mapping[str, Any]] = lambda carried: {},
        log_word: str,
    ) -> None:
        """`task` is the name of the task, which is given the id of what it carries as `id_name`, as the model calls it.

        It is also given the name of the run, what `unseal` makes the run of, and the `facts` that the ledger has of it.
        `release` gives a lease back with the reason. Lines of the log begin with `log_word`.
        """
        self._task, self._model, self._id_name = task, model, id_name
        self._unseal, self._release, self._facts, self._log_word = unseal, release, facts, log_word
        self.watch: Watch[R] = Watch(self.look_after)

    @sensitive_variables()
    def opened(self, carried_id: str, name: str, sealed: str) -> tuple[R, C] | None:
        """Return the run whose task this is, and what it carries; None if there is nothing to do for it."""
        try:
            with drop_if_broken("jobs"):
                carried = self._find(carried_id, runner=name)
                if carried is None:  # it has ended, or another run has it
                    return None
                try:
                    return self._unseal(uuid.UUID(carried_id), name, sealed), carried
                except (BrokenSealError, Refusal) as error:
                    if isinstance(error, TooOldError) and carried.has_runner:  # others extend its lease, and see to it
                        self._warn(
                            carried_id, "a task was sealed too long ago, or this host's clock is wrong, so it ends"
                        )
                        return None
                    logger.error("[%s] EXCEPTION: %s: %s", self._log_word, carried_id, UNREADABLE)
                    self._release(carried, name, f"{UNREADABLE} {GO_ON}")
        except AnyDatabaseError as error:  # whoever watches the run sends another task
            self._warn(carried_id, f"the ledger cannot be used: {error}")
        return None

    @sensitive_variables()
    def send(self, run: R, after_s: float = 0, **facts: Any) -> None:
        """Send one task of a run. Raises QueueError."""
        task = {self._id_name: str(run.carried_id), "run": run.name, "sealed": run.sealed(), **facts}
        # The log of a worker names tasks, and not what they are given. Of which run they are is told beside that, see
        # `has_waiting_tasks`.
        headers = {"run": run.name}
        app.send_task(
            self._task, kwargs=task, countdown=after_s or None, retry_policy=ONCE_MORE, kwargsrepr="", headers=headers
        )

    def send_all(self, run: R, carried: C) -> None:
        """Send the first tasks of a run. Raises QueueError only if none could be sent."""
        for number in range(run.tasks):
            try:
                self.send(run, number * APART_S, **self._facts(carried))
            except QueueError:
                if not number:
                    raise
                return

    def send_next(self, run: R, after_s: float = 0, **facts: Any) -> None:
        """Send the successor of a task. If the queue cannot be reached, whoever watches the run sends it."""
        try:
            self.send(run, after_s, **facts)
        except QueueError as error:
            self._warn(run.carried_id, f"the queue cannot be reached: {error}")

    def look_after(self, run: R, *, is_working: bool) -> R | None:
        """See to it that a run has its lease, and tasks that extend it; return it, or the one in its place, or None.

        It has lost half of its lease only if no worker has a task of it: then these wait in the queue, or are lost.
        """
        carried = self._find(run.carried_id)
        if carried is None or carried.state in (carried.State.STOPPED, carried.State.DONE):
            return None
        if carried.runner != run.name:
            if not is_of_same_start(carried.runner, run.name):
                return None
            run, is_working = replace(run, name=carried.runner), False  # the one in its place, by somebody else
        lease_s = settings.TMS_BATCH_LEASE_S
        if is_working:
            leases.heartbeat(carried, run.name, lease_s)
            return run
        # Extended before the queue is asked, which may be long in answering. Of those who watch, one gets so far.
        waiting_s = lease_s * LEASE_OF_WAITING
        if _is_left(carried, LEASE_LOST) or not leases.hand_over(carried, run.name, run.name, waiting_s):
            return run
        if has_waiting_tasks(run.name):
            return run
        follower = replace(run, name=new_run_name(begun_at_of(run.name)))
        if not leases.hand_over(carried, run.name, follower.name, waiting_s):
            return run  # a worker has just taken its tasks, or somebody else was first: the next look will tell
        logger.warning("[%s] %s: its tasks were lost, so new ones are sent", self._log_word, run.carried_id)
        with suppress(QueueError):
            self.send_all(follower, carried)
        return follower

    def _find(self, carried_id: uuid.UUID | str, **conditions: str) -> C | None:
        rows: Any = self._model._default_manager  # of either kind, which no type says
        carried: C | None = rows.filter(**{self._id_name: carried_id}, **conditions).first()
        return carried

    def _warn(self, carried_id: uuid.UUID | str, what: str) -> None:
        logger.warning("[%s] WARNING: %s: %s", self._log_word, carried_id, what)


def _is_left(carried: Carried, share: float) -> bool:
    """Tell whether more than this share of the lease is left."""
    lease = timedelta(seconds=settings.TMS_BATCH_LEASE_S)
    return carried.runner_until is not None and carried.runner_until > clock.now("jobs") + lease * share


def has_waiting_tasks(name: str) -> bool:
    """Tell whether the queue holds tasks of a run that no worker has come to; True, too, while it does not answer.

    Those of other runs do not count: where workers have much to do, some of these wait at any time.
    """
    try:
        with broker.client() as client:  # not by kombu, which would try for seconds
            return any(name in message for message in client.lrange(QUEUE, 0, -1))
    except RedisError as error:
        logger.warning("[QUEUE] WARNING: the queue does not answer: %s", error)
        return True


def _end_process(**kwargs: Any) -> None:
    flush(FLUSH_WAIT_S)  # a worker's process ends without what Python does at its end
    connections.close_all()


def _begin_process(**kwargs: Any) -> None:
    # systemd tells all processes of a service to end, these among them. Their main process waits for what they do, as
    # it should, and they end with it.
    ignore(signal.SIGTERM, signal.SIGHUP)
    share_interpreter()


signals.worker_process_init.connect(_begin_process)
signals.worker_process_shutdown.connect(_end_process)
