"""Of which customers a run reads the apps."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings

from jobs.models import Job
from jobs.selectors import all_cids_of
from setactions.inputs.csv_table import read_list
from setactions.refusal import Refusal
from setactions.tms.clusters import Cluster, cluster_at
from tmsdash.downloads import IncompleteError
from tmsdash.text import counted


@dataclass(frozen=True)
class Selection:
    """Some customers of a cluster, and which in words. `job_id` is that of the job whose they all are."""

    cluster: Cluster
    cids: Sequence[str]
    words: str
    job_id: uuid.UUID | None = None


def customers_of_job(job: Job) -> Selection:
    """Select the customers of a job; raises Refusal (400, 403, 413, 500)."""
    cluster = cluster_at(job.cluster_url)
    if cluster is None:
        raise Refusal(403, "cluster", "The job's cluster is not configured any more. Ask an administrator.")
    try:
        return checked(Selection(cluster, all_cids_of(job), f"customers of job {job.job_id}", job.job_id))
    except IncompleteError as error:
        raise Refusal(500, "job", str(error)) from None


def customers_listed(cluster: Cluster, text: str) -> Selection:
    """Select the customers of a list that was pasted; raises Refusal (400, 413)."""
    # Nothing is done to them, so ids that look damaged only lead to customers who are not there.
    content = text.encode(errors="surrogatepass")
    return checked(
        Selection(cluster, read_list(content, cluster=cluster, action=None, allow_unusual=True).cids, "a pasted list")
    )


def checked(selection: Selection, count: int | None = None) -> Selection:
    """Return the selection; raises Refusal (400, 413) unless there is somebody in it, and not more than a run may have.

    `count` is how many there are, if `cids` are only the first of them.
    """
    count, limit = len(selection.cids) if count is None else count, settings.TMS_APP_STATUS_MAX
    if not count:
        raise Refusal(400, "cids", "There are no such customers. Choose others, or read the cluster first.")
    if count > limit:
        sentence = f"These are {counted(count, 'customer')}, and the apps of {limit:,} at most are read at once."
        raise Refusal(413, "cids", f"{sentence} Choose those in one state, or paste a part of the list.")
    return selection
