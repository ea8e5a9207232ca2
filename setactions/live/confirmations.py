"""Reading what TMS shows of jobs, and writing down what that confirms of them.

TMS goes on working after it has accepted, so who is not there yet may be a minute later: nothing here calls that a
failure, and whoever wants to know reads again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from django.views.decorators.debug import sensitive_variables

from jobs.live.confirmations import (
    ShownStates,
    jobs_of_batch,
    keep_confirmations,
    states_of_jobs,
    united,
)
from jobs.models import Batch, Job
from setactions.live.reading import read_one, read_whole
from setactions.reads import ReadingFailedError
from setactions.refusal import Refusal
from setactions.tms.clusters import cluster_at
from setactions.token import Token
from tmsdash.db.transactions import drop_if_broken


@dataclass(frozen=True)
class BatchCheck:
    """What TMS shows of what was accepted of a batch, for each cluster and action, and why clusters were not read."""

    states: Sequence[ShownStates]
    problems: Sequence[str] = ()

    @property
    def customer_count(self) -> int:
        return sum(shown.customer_count for shown in self.states)

    @property
    def confirmed(self) -> int:
        return sum(shown.confirmed for shown in self.states)


@sensitive_variables("token")
def confirm_job(job: Job, token: Token, user_id: str) -> ShownStates:
    """Read a job's customers for `user_id`, and return what TMS shows of them.

    Raises ReadingFailedError, and Refusal: 409 its cluster is not configured any more, 503 it must not be read now, or
    a database cannot be used.
    """
    _read([job], token, user_id)
    with drop_if_broken("jobs", raising=_unusable):
        return _kept([job])[0]


@sensitive_variables("token")
def confirm_batch(batch: Batch, token: Token, user_id: str) -> BatchCheck:
    """Read each cluster of a batch once for `user_id`, and return what TMS shows of what was accepted.

    Raises Refusal (503) if a database cannot be used. That one cluster could not be read does not keep the others from
    being read.
    """
    problems = []
    with drop_if_broken("jobs", raising=_unusable):
        jobs = list(jobs_of_batch(batch.batch_id))
    for _, of_cluster in groupby(sorted(jobs, key=lambda job: job.cluster_url), key=lambda job: job.cluster_url):
        try:
            _read(list(of_cluster), token, user_id)
        except ReadingFailedError as error:
            problems.append(str(error))
        except Refusal as refusal:
            problems.append(refusal.message)
    with drop_if_broken("jobs", raising=_unusable):
        return BatchCheck(united(_kept(jobs)), problems)


@sensitive_variables("token")
def _read(jobs: Sequence[Job], token: Token, user_id: str) -> None:
    """Read the cluster of some jobs, after the last of them was accepted."""
    cluster = cluster_at(jobs[0].cluster_url)
    if cluster is None:
        message = "This cluster is not configured any more, so nothing can be read. Ask an administrator."
        raise Refusal(409, "cluster", message)
    accepted_at = max(job.created_at for job in jobs)
    if len(jobs) == 1 and jobs[0].customer_count == 1:
        with drop_if_broken("jobs", raising=_unusable):
            cid = jobs[0].customers.get().cid
        read_one(cluster, cid, token, user_id, since=accepted_at)
    else:
        read_whole(cluster, token, user_id, since=accepted_at)


def _kept(jobs: Sequence[Job]) -> list[ShownStates]:
    states = states_of_jobs(jobs)
    keep_confirmations(states, jobs)
    return [*states.values()]


def _unusable(_: Exception) -> Refusal:
    message = "The jobs database cannot be used, so nothing was compared. Try again in a minute."
    return Refusal(503, "request", message)
