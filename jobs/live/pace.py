"""How often a cluster is read: all processes of the site together, on all hosts, through its row in the database.

All functions raise DatabaseError when the jobs database cannot be written.
"""

from datetime import timedelta
from math import ceil

from jobs.models import ClusterBackoff, LiveCluster
from tmsdash.clocks import CLOCK_SKEW_S
from tmsdash.db import clock
from tmsdash.db.transactions import one_at_a_time, write_transaction

WINDOW_S = 60


def take_read(cluster_url: str, per_minute: int) -> int:
    """Count a read of the cluster and return 0; or return how many seconds it must be left alone, and count nothing."""
    now = clock.now("jobs").timestamp()
    with write_transaction("jobs"):
        cluster = locked_cluster(cluster_url)
        # What is to come was written before the clock was set back.
        recent = [at for at in cluster.recent_reads if now - WINDOW_S < at <= now + CLOCK_SKEW_S]
        wait_s = _asked_wait_s(cluster)
        if len(recent) >= per_minute:
            wait_s = max(wait_s, ceil(sorted(recent)[-per_minute] + WINDOW_S - now) if per_minute else WINDOW_S)
        if wait_s <= 0:
            cluster.recent_reads = [*recent, now]
            cluster.save(update_fields=["recent_reads"])
        return max(0, wait_s)


def leave_alone(cluster_url: str, seconds: int) -> None:
    """Note that the cluster asked not to be read for so many seconds."""
    until = clock.now("jobs") + timedelta(seconds=seconds)
    with write_transaction("jobs"):
        cluster = locked_cluster(cluster_url)
        cluster.not_before = max(until, cluster.not_before or until)
        cluster.save(update_fields=["not_before"])


def locked_cluster(cluster_url: str) -> LiveCluster:
    """Return the cluster's row, made if need be, which no other transaction changes before the current one ends."""
    one_at_a_time("jobs", f"live {cluster_url}")
    return LiveCluster.objects.get_or_create(cluster_url=cluster_url)[0]


def _asked_wait_s(cluster: LiveCluster) -> int:
    """Return how many seconds are left of what the cluster asked for, when it was read or when it was sent a batch."""
    backoff = ClusterBackoff.objects.filter(cluster_url=cluster.cluster_url).first()
    ends = [end for end in (cluster.not_before, backoff and backoff.not_before) if end]
    return ceil((max(ends) - clock.now("jobs")).total_seconds()) if ends else 0
