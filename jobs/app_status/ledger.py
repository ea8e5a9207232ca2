"""The only truth about app status runs: who carries each of them, and what was read of each customer.

1. A run is carried by the runner that holds its lease. Another one gets the lease when it has run out, or when the
   runner is known to be dead.
2. What was read of a customer is written together with their apps, once: a runner that was not dead after all, and
   reads the same customer, changes nothing.
3. A failed read says nothing of any app. Its customer waits on, with the reason, or could not be read.
4. What operators decide outlives what runners report: only a running run is done.
5. Tasks of the queue carry a run in turns that are numbered. The ledger gives each to one of them, so that a task that
   comes twice makes no second row of tasks.
6. A run that is over is kept for ninety days, with what was read.

All functions raise DatabaseError when the jobs database cannot be written.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q

from jobs.app_status.statuses import App, health_of
from jobs.models import AppRun, AppRunCustomer, AppStatus
from jobs.models.app_status import TEXT_LENGTH
from jobs.models.live import PROBLEM_LENGTH
from tmsdash.db import clock
from tmsdash.db.transactions import one_at_a_time, write_transaction
from tmsdash.text import one_line

DATABASE = "jobs"
State = AppRun.State
UNFINISHED = (State.RUNNING, State.PAUSED)
KEPT = timedelta(days=90)
OLDEST, PRUNED_AT_ONCE = 20, 2  # runs that are looked at, and deleted, with each that begins
NO_RUNNER: dict[str, Any] = {"runner": "", "runner_until": None}
_GOING: dict[str, Any] = {"reason": "", "paused_at": None, "due_at": None, "failures": 0}


# -- Runners ------------------------------------------------------------------------------------------------------


def create(
    *,
    user_id: str,
    cluster_url: str,
    selection: str,
    cids: Sequence[str],
    job_id: uuid.UUID | None,
    runner: str,
    lease_s: float,
    newest: int | None = None,
) -> AppRun | None:
    """Write a new run of these customers, carried by `runner` from now on for `lease_s` seconds, and return it.

    None if its user has a newer run of the same job than that with the key `newest`, if that is given (0: any run).
    """
    now = clock.now(DATABASE)
    with write_transaction(DATABASE):
        if newest is not None:
            one_at_a_time(DATABASE, f"app run {user_id} {job_id}")
            if AppRun.objects.filter(user_id=user_id, job_id=job_id, pk__gt=newest).exists():
                return None
        run = AppRun.objects.create(
            user_id=user_id,
            cluster_url=cluster_url,
            selection=one_line(selection, TEXT_LENGTH),
            job_id=job_id,
            customer_count=len(cids),
            created_at=now,
            runner=runner,
            runner_until=now + timedelta(seconds=lease_s),
        )
        AppRunCustomer.objects.bulk_create(
            AppRunCustomer(run=run, position=position, cid=cid) for position, cid in enumerate(cids)
        )
        _prune(now)
    return run


def _prune(now: datetime) -> None:
    """Delete the oldest runs that ended long ago, with what was read. More than one goes for each that begins."""
    oldest = AppRun.objects.order_by("pk")[:OLDEST]  # by keys, whose order is that of time
    over = [run for run in oldest if not run.has_runner and (run.ended_at or run.created_at) < now - KEPT]
    too_old = [run.pk for run in over[:PRUNED_AT_ONCE]]
    AppStatus.objects.filter(run__in=too_old).delete()  # in one statement: Django would go by customers
    AppRun.objects.filter(pk__in=too_old).delete()


def lease(run: AppRun, runner: str, lease_s: float, *, dead_runner: str = "") -> bool:
    """Give `runner` the run for `lease_s` seconds and set it running; False if another runner has it.

    `dead_runner` is one that the caller knows to be dead. Customers who could not be read are tried once more.
    """
    now = clock.now(DATABASE)
    free = AppRun.objects.filter(Q(runner__in=["", dead_runner]) | Q(runner_until__lte=now), pk=run.pk)
    held = {"runner": runner, "runner_until": now + timedelta(seconds=lease_s)}
    with write_transaction(DATABASE):
        # One statement looks and takes, so that of two runners that look at once one gets it.
        if not free.update(**held, **_GOING, state=State.RUNNING, ended_at=None):
            return False
        unread = AppRunCustomer.objects.filter(run=run).exclude(state=AppRunCustomer.State.READ)
        unread.filter(Q(state=AppRunCustomer.State.FAILED) | Q(tries__gt=0)).update(
            state=AppRunCustomer.State.WAITING, tries=0, due_at=None
        )
        return True


def take_turn(run: AppRun, runner: str, turns: Sequence[int], lease_s: float) -> int | None:
    """Give the run's next turn to a task of `runner`, and extend the lease; return the number of the turn after it.

    None if the next turn is not among `turns`, or `runner` has to end.
    """
    until = clock.now(DATABASE) + timedelta(seconds=lease_s)
    for turn in turns:
        with write_transaction(DATABASE):
            held = AppRun.objects.filter(pk=run.pk, runner=runner, state__in=UNFINISHED, turn=turn)
            if held.update(turn=turn + 1, runner_until=until):
                return turn + 1
    return None


def heartbeat(run: AppRun, runner: str, lease_s: float) -> AppRun | None:
    """Return the run as it is now, and extend its lease where a quarter is over; None if `runner` has to end."""
    now = clock.now(DATABASE)
    held = AppRun.objects.filter(pk=run.pk, runner=runner, state__in=UNFINISHED)
    current = held.first()
    if current and current.runner_until and (current.runner_until - now).total_seconds() < lease_s * 3 / 4:
        with write_transaction(DATABASE):
            held.update(runner_until=now + timedelta(seconds=lease_s))
    return current


def finish(run: AppRun, runner: str) -> bool:
    """Note that nobody is left to read; False if the run does not run any more, or another runner has it."""
    with write_transaction(DATABASE):
        running = AppRun.objects.filter(pk=run.pk, runner=runner, state=State.RUNNING)
        return bool(running.update(state=State.DONE, ended_at=clock.now(DATABASE)))


def release(run: AppRun, runner: str, reason: str = "") -> None:
    """Give the lease back. A run that is not over is stopped for `reason`."""
    with write_transaction(DATABASE):
        held = AppRun.objects.filter(pk=run.pk, runner=runner)
        held.filter(state__in=UNFINISHED).update(**_stopped(reason))
        held.update(**NO_RUNNER)


def stop_dead(run: AppRun, reason: str) -> None:
    """Stop a run whose runner the caller knows to be dead, unless somebody has got it since `run` was read."""
    with write_transaction(DATABASE):
        unchanged = AppRun.objects.filter(pk=run.pk, runner=run.runner, runner_until=run.runner_until)
        unchanged.filter(state__in=UNFINISHED).update(**_stopped(reason), **NO_RUNNER)


# -- Customers ----------------------------------------------------------------------------------------------------


def keep_read(customer: AppRunCustomer, apps: Sequence[App], next_at: datetime | None = None) -> bool:
    """Write down what was read of a customer, and that nobody else is read before `next_at`.

    False if somebody has written down this customer already.
    """
    with write_transaction(DATABASE):
        health = health_of(app.status for app in apps)
        read = {"state": AppRunCustomer.State.READ, "health": health, "problem": "", "read_at": clock.now(DATABASE)}
        if not _waiting(customer).update(**read):
            return False
        AppStatus.objects.bulk_create(
            AppStatus(
                customer=customer,
                run_id=customer.run_id,
                app_name=app.name,
                status=app.status,
                reason=one_line(app.reason, TEXT_LENGTH),
            )
            for app in apps
        )
        AppRun.objects.filter(pk=customer.run_id).update(failures=0, due_at=next_at)
    return True


def note_failed(
    customer: AppRunCustomer,
    problem: str,
    *,
    for_good: bool,
    is_try: bool = True,
    says_nothing: bool = False,
    retry_at: datetime | None = None,
    next_at: datetime | None = None,
) -> int:
    """Note why a customer could not be read, and return how many reads in a row said nothing of their customers.

    The customer could not be read, if that is `for_good`. Else they wait: where they are, or until `retry_at` at the
    end of the line if this was a try. Nobody is read before `next_at`.
    """
    state = AppRunCustomer.State.FAILED if for_good else AppRunCustomer.State.WAITING
    with write_transaction(DATABASE):
        kept: dict[str, Any] = {"state": state, "problem": one_line(problem, PROBLEM_LENGTH)}
        if is_try:
            kept |= {"tries": F("tries") + 1, "due_at": retry_at}
        _waiting(customer).update(**kept)
        run = AppRun.objects.filter(pk=customer.run_id)
        run.update(failures=F("failures") + 1 if says_nothing else 0, due_at=next_at)
        return run.values_list("failures", flat=True).get()


def _waiting(customer: AppRunCustomer) -> Any:
    return AppRunCustomer.objects.filter(pk=customer.pk, state=AppRunCustomer.State.WAITING)


# -- What operators decide ----------------------------------------------------------------------------------------


def pause(run: AppRun, reason: str) -> bool:
    """Let a running run read nothing; its runner keeps the token. False if it does not run."""
    paused_at = clock.now(DATABASE)
    return _move(run, [State.RUNNING], state=State.PAUSED, paused_at=paused_at, reason=one_line(reason, TEXT_LENGTH))


def resume(run: AppRun) -> bool:
    """Let a paused run go on that still has its runner; False if it is not paused or has none."""
    return run.has_runner and _move(run, [State.PAUSED], state=State.RUNNING, reason="", paused_at=None)


def stop(run: AppRun, reason: str) -> bool:
    """Let a run read nothing more, and its runner end; False if it is neither running nor paused."""
    return _move(run, UNFINISHED, **_stopped(reason))


def _move(run: AppRun, from_states: Sequence[AppRun.State], **fields: Any) -> bool:
    with write_transaction(DATABASE):
        return bool(AppRun.objects.filter(pk=run.pk, state__in=from_states).update(**fields))


def _stopped(reason: str) -> dict[str, Any]:
    return {"state": State.STOPPED, "reason": one_line(reason, TEXT_LENGTH), "ended_at": clock.now(DATABASE)}
