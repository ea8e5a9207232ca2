"""What operators do with app status runs: one function for each, called by the pages and for scripts.

1. Only users who may trigger Set Actions do anything here. Only its user goes on with a run, which needs their token;
   others who see it may pause and stop it.
2. The run is carried by what carries batches: a thread of the process that got the token, or the queue. One that has
   no living runner is stopped, and whoever looks at it writes that down.
3. A list that holds the bearer token is never written to the ledger.

All functions raise Refusal and DatabaseError.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.views.decorators.debug import sensitive_variables

from jobs.app_status import ledger
from jobs.models import AppRun, Job
from setactions.app_status.runner import Runner, give_back
from setactions.app_status.selection import Selection, customers_of_job
from setactions.limits import app_run_slot
from setactions.liveness import has_living_runner, is_dead
from setactions.permissions import check_may_set_action
from setactions.queue.liveness import new_run_name
from setactions.refusal import Refusal
from setactions.token import Token
from tmsdash.db import clock
from tmsdash.db.transactions import drop_if_broken

logger = logging.getLogger(__name__)

FRESH_S = 600
STOPPED_FOR_S = 60
THREAD_NAME = "app-status"
NO_THREAD = "The server can start no more threads now, so nothing is read. Try again in a minute, then tell the admin."
DIED = "The process that carried it is gone, and the token with it. What was read is kept: go on with your token."


class AlreadyBegunError(Refusal):
    """Somebody else has just begun what was to begin."""


@sensitive_variables("token")
def start_run(*, user: Any, selection: Selection, token: Token, newest: int | None = None) -> AppRun:
    """Begin to read the apps of the selected customers in the background, and return the run.

    Raises AlreadyBegunError if the user has a newer run of its job than that with the key `newest`, if that is given.
    """
    check_may_set_action(user)
    token.check_not_among(selection.cids)
    with _starter(user.get_username(), token) as (runner, start):
        run = ledger.create(
            user_id=user.get_username(),
            cluster_url=selection.cluster.origin,
            selection=selection.words,
            cids=selection.cids,
            job_id=selection.job_id,
            runner=runner,
            lease_s=settings.TMS_BATCH_LEASE_S,
            newest=newest,
        )
        if run is None:
            raise AlreadyBegunError(409, "request", "A run of this job has just begun. Ask again in a minute.")
        start(run)
    return run


@sensitive_variables("token")
def resume_run(*, user: Any, run: AppRun, token: Token | None) -> None:
    """Let a run go on. One that is paused, and still has its process, needs no token."""
    check_may_set_action(user)
    if run.user_id != user.get_username():
        raise Refusal(403, "user", f"This run belongs to {run.user_id}, and only they can go on with it.")
    if has_living_runner(run):
        if not ledger.resume(run):
            raise Refusal(409, "request", "This run is going on already, or ends just now. Look again in a minute.")
        return
    if token is None:
        raise Refusal(400, "token", "Enter your bearer token for this cluster: no process holds one for this run.")
    with _starter(run.user_id, token) as (runner, start):
        dead_runner = run.runner if is_dead(run.runner) else ""
        if not ledger.lease(run, runner, settings.TMS_BATCH_LEASE_S, dead_runner=dead_runner):
            raise Refusal(409, "request", "Another process is carrying this run. Look again in a minute.")
        run.refresh_from_db()
        start(run)


@sensitive_variables("token")
def run_for_script(*, user: Any, job: Job, token: Token) -> AppRun:
    """Return the user's newest run for a job. A new one begins if there is none that was done lately.

    One that was stopped goes on, but not at once: a script that asks again learns first why it was stopped.
    """
    check_may_set_action(user)
    runs = AppRun.objects.filter(user_id=user.get_username(), job_id=job.job_id)
    run = runs.first()
    stop_dead_runs([run] if run else [])
    age_s = (clock.now("jobs") - run.ended_at).total_seconds() if run and run.ended_at else 0
    if run is None or (run.state == AppRun.State.DONE and age_s > FRESH_S):
        try:
            newest = run.pk if run else 0
            return start_run(user=user, selection=customers_of_job(job), token=token, newest=newest)
        except AlreadyBegunError:  # by another script, at this very moment
            return runs[0]
    if run.state == AppRun.State.STOPPED and age_s > STOPPED_FOR_S:
        resume_run(user=user, run=run, token=token)
        run.refresh_from_db()
    return run


def pause_run(*, user: Any, run: AppRun) -> None:
    """Read nothing until it is resumed; the token stays in memory for a while."""
    check_may_set_action(user)
    if not ledger.pause(run, f"Paused by {user.get_username()}."):
        raise Refusal(409, "request", "This run is not running, so there is nothing to pause.")


def stop_run(*, user: Any, run: AppRun) -> None:
    """Read nothing more, and forget the token."""
    check_may_set_action(user)
    if not ledger.stop(run, f"Stopped by {user.get_username()}."):
        raise Refusal(409, "request", "This run is not running, so there is nothing to stop.")


def stop_dead_runs(runs: Iterable[AppRun]) -> None:
    """Stop those of some runs that are to run, but have no living runner, and bring them up to date.

    What the ledger cannot take now is written down by whoever looks next.
    """
    for run in runs:
        if run.state in ledger.UNFINISHED and not has_living_runner(run):
            with suppress(AnyDatabaseError), drop_if_broken("jobs"):
                ledger.stop_dead(run, DIED)
                run.refresh_from_db()


@contextmanager
@sensitive_variables("token")
def _starter(user_id: str, token: Token) -> Iterator[tuple[str, Callable[[AppRun], None]]]:
    """Yield the name under which a run is to be leased, and what lets it be carried then, by this site's engine."""
    if settings.TMS_BATCH_ENGINE == "celery":
        from setactions.app_status import queued  # Celery is only where it is used

        name = new_run_name(clock.now("jobs"))
        yield name, lambda run: queued.start(run, name, token)
        return
    with ExitStack() as slot:
        slot.enter_context(app_run_slot())
        runner = _runner(user_id, token)
        slot.callback(runner.give_up)
        yield runner.name, lambda run: _carry(run, runner, slot.pop_all())


def _runner(user_id: str, token: Token) -> Runner:
    try:
        return Runner(user_id, token)
    except OSError as error:
        logger.error("[APPS] EXCEPTION: not run. %s: %s", error.filename, error.strerror)
        sentence = "This server cannot carry a run now, because it cannot use its own folder. Its log says why."
        raise Refusal(503, "request", sentence) from error


def _carry(run: AppRun, runner: Runner, slot: ExitStack) -> None:
    def carry() -> None:
        with slot:
            runner.carry(run)

    # No daemon: what was read must be written down before the process ends.
    thread = threading.Thread(target=carry, name=THREAD_NAME, daemon=False)
    try:
        thread.start()
    except RuntimeError as error:  # the system allows no more threads, or Python is ending
        with slot:
            give_back(run, runner.name, NO_THREAD)
        raise Refusal(503, "request", NO_THREAD) from error
