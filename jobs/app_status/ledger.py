"""The only truth about app status runs: who carries each of them, and what was read of each customer.

1. A run is carried by the runner that holds its lease. Another one gets the lease when it has run out, or when the
   runner is known to be dead.
2. What was read of a customer is written together with their apps, once: a runner that was not dead after all, and
   reads the same customer, changes nothing.
3. A failed read says nothing of any app. Its customer waits on, with the reason, or could not be read.
4. What operators decide outlives what runners report: only a running run is done.

All functions raise DatabaseError when the jobs database cannot be written.
"""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db.models import Q

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
NO_RUNNER: dict[str, Any] = {"runner": "", "runner_until": None}


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
    return run


def lease(run: AppRun, runner: str, lease_s: float, *, dead_runner: str = "") -> bool:
    """Give `runner` the run for `lease_s` seconds and set it running; False if another runner has it.

    `dead_runner` is one that the caller knows to be dead. Customers who could not be read are tried once more.
    """
    now = clock.now(DATABASE)
    free = AppRun.objects.filter(Q(runner__in=["", dead_runner]) | Q(runner_until__lte=now), pk=run.pk)
    held = {"runner": runner, "runner_until": now + timedelta(seconds=lease_s)}
    with write_transaction(DATABASE):
        # One statement looks and takes, so that of two runners that look at once one gets it.
        if not free.update(**held, state=State.RUNNING, reason="", ended_at=None):
            return False
        failed = AppRunCustomer.objects.filter(run=run, state=AppRunCustomer.State.FAILED)
        failed.update(state=AppRunCustomer.State.WAITING)
        return True


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


def keep_read(customer: AppRunCustomer, apps: Sequence[App]) -> bool:
    """Write down what was read of a customer; False if somebody has done so already."""
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
    return True


def note_failed(customer: AppRunCustomer, problem: str, *, for_good: bool) -> None:
    """Note why a customer could not be read, who waits on, unless that is `for_good`."""
    state = AppRunCustomer.State.FAILED if for_good else AppRunCustomer.State.WAITING
    with write_transaction(DATABASE):
        _waiting(customer).update(state=state, problem=one_line(problem, PROBLEM_LENGTH))


def _waiting(customer: AppRunCustomer) -> Any:
    return AppRunCustomer.objects.filter(pk=customer.pk, state=AppRunCustomer.State.WAITING)


# -- What operators decide ----------------------------------------------------------------------------------------


def pause(run: AppRun, reason: str) -> bool:
    """Let a running run read nothing; its runner keeps the token. False if it does not run."""
    return _move(run, [State.RUNNING], state=State.PAUSED, reason=one_line(reason, TEXT_LENGTH))


def resume(run: AppRun) -> bool:
    """Let a paused run go on that still has its runner; False if it is not paused or has none."""
    return run.has_runner and _move(run, [State.PAUSED], state=State.RUNNING, reason="")


def stop(run: AppRun, reason: str) -> bool:
    """Let a run read nothing more, and its runner end; False if it is neither running nor paused."""
    return _move(run, UNFINISHED, **_stopped(reason))


def _move(run: AppRun, from_states: Sequence[AppRun.State], **fields: Any) -> bool:
    with write_transaction(DATABASE):
        return bool(AppRun.objects.filter(pk=run.pk, state__in=from_states).update(**fields))


def _stopped(reason: str) -> dict[str, Any]:
    return {"state": State.STOPPED, "reason": one_line(reason, TEXT_LENGTH), "ended_at": clock.now(DATABASE)}
