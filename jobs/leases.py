"""Leases of what is carried in turns, batches and app status runs: rows with a `runner`, and `runner_until` when.

All functions raise DatabaseError when the jobs database cannot be written.
"""

from datetime import timedelta

from jobs.models import AppRun, Batch
from tmsdash.db import clock
from tmsdash.db.transactions import write_transaction

DATABASE = "jobs"

Carried = Batch | AppRun


def heartbeat(carried: Carried, runner: str, lease_s: float) -> bool:
    """Extend the lease to `lease_s` seconds from now; False if the runner does not hold it any more."""
    until = clock.now(DATABASE) + timedelta(seconds=lease_s)
    with write_transaction(DATABASE):
        return bool(type(carried).objects.filter(pk=carried.pk, runner=runner).update(runner_until=until))


def hand_over(carried: Carried, runner: str, follower: str, lease_s: float) -> bool:
    """Give the lease of `runner` to a `follower`, whatever the state of what is `carried`.

    False if the lease is not what `carried` says any more: somebody has extended it, or has got it. Else `carried` says
    what it is then.
    """
    until = clock.now(DATABASE) + timedelta(seconds=lease_s)
    with write_transaction(DATABASE):
        rows = type(carried).objects.filter(pk=carried.pk, runner=runner, runner_until=carried.runner_until)
        if not rows.update(runner=follower, runner_until=until):
            return False
    carried.runner, carried.runner_until = follower, until
    return True
