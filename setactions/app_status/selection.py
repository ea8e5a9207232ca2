"""Of which customers a run reads the apps: those of a job, of a cluster, each in a state if need be, or of a list."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings

from jobs.live.codes import state_name
from jobs.live.states import cluster_row, states_of
from jobs.models import Job
from jobs.selectors import all_cids_of
from setactions.inputs.csv_table import read_list
from setactions.refusal import Refusal
from setactions.tms.clusters import Cluster, cluster_at
from tmsdash.downloads import IncompleteError
from tmsdash.text import counted

UNREAD = "unread"  # stands in the place of a state for customers who were never read


@dataclass(frozen=True)
class Selection:
    """Some customers of a cluster: how many, and which in words. `job_id` is that of the job whose they all are."""

    cluster: Cluster
    cids: Sequence[str]
    words: str
    job_id: uuid.UUID | None = None


def customers_of_job(job: Job, state: str = "") -> Selection:
    """Select the customers of a job, or those in a state (a code, or UNREAD); raises Refusal (400, 403, 413, 500)."""
    cluster = cluster_at(job.cluster_url)
    if cluster is None:
        raise Refusal(403, "cluster", "The job's cluster is not configured any more. Ask an administrator.")
    try:
        cids: Sequence[str] = all_cids_of(job)
    except IncompleteError as error:
        raise Refusal(500, "job", str(error)) from None
    words = f"Customers of job {job.job_id}"
    if not state:
        return _checked(Selection(cluster, cids, words, job.job_id))
    known = states_of(cluster.origin, cids)
    if state == UNREAD:
        return _checked(Selection(cluster, known.unread, f"{words}, never read"))
    code = _code(state)
    chosen = [cid for cid in cids if cid in known.by_cid and known.by_cid[cid].code == code]
    return _checked(Selection(cluster, chosen, f"{words}, in state {state_name(code)}"))


def customers_in_state(cluster: Cluster, state: str) -> Selection:
    """Select the customers of a cluster whom the newest readings show in a state (a code); raises Refusal."""
    code, row = _code(state), cluster_row(cluster.origin)
    states = row.states.filter(code=code).order_by("cid") if row else None
    cids = [*states.values_list("cid", flat=True)[: settings.TMS_APP_STATUS_MAX]] if states is not None else []
    count = states.count() if states is not None else 0
    return _checked(Selection(cluster, cids, f"Customers in state {state_name(code)}"), count)


def customers_listed(cluster: Cluster, text: str) -> Selection:
    """Select the customers of a list that was pasted; raises Refusal (400, 413)."""
    # Nothing is done to them, so ids that look damaged only lead to customers who are not there.
    content = text.encode(errors="surrogatepass")
    cids = read_list(content, cluster=cluster, action=None, allow_unusual=True).cids
    return _checked(Selection(cluster, cids, "A pasted list"))


def _checked(selection: Selection, count: int | None = None) -> Selection:
    """Return the selection; raises Refusal unless there is somebody in it, and not more than a run may have."""
    count, limit = len(selection.cids) if count is None else count, settings.TMS_APP_STATUS_MAX
    if not count:
        raise Refusal(400, "cids", "There are no such customers. Choose others, or read the cluster anew first.")
    if count > limit:
        sentence = f"These are {counted(count, 'customer')}, and the apps of {limit:,} at most are read at once."
        raise Refusal(413, "cids", f"{sentence} Choose those in one state, or paste a part of the list.")
    return selection


def _code(state: str) -> int:
    try:
        return int(state)
    except ValueError:
        raise Refusal(400, "state", "There is no such state. Choose one on the page.") from None
