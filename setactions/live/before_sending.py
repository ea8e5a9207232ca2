"""What is known of the customers of a list before it is sent: what was stored, what TMS shows, and what came after."""

from collections.abc import Sequence
from contextlib import suppress

from django.db import Error as AnyDatabaseError
from django.views.decorators.debug import sensitive_variables

from audit.overlap import attempts_since, places_at
from jobs.live.states import states_of
from setactions.live.comparison import Comparison
from setactions.live.reading import read_whole
from setactions.overlap import NO_OVERLAP, Overlap, overlap_of
from setactions.refusal import Refusal
from setactions.tms.clusters import Cluster
from setactions.token import Token
from tmsdash.db.transactions import drop_if_broken


def stored_comparison(cluster_url: str, cids: Sequence[str]) -> Comparison | None:
    """Return what was read of these customers before, whoever asked for it; None if the database cannot tell now."""
    with suppress(AnyDatabaseError), drop_if_broken("jobs"):
        return Comparison.of(states_of(cluster_url, cids), cids)
    return None


@sensitive_variables("token")
def live_comparison(cluster: Cluster, cids: Sequence[str], token: Token, user_id: str) -> Comparison:
    """Return what TMS shows of these customers now, or showed to somebody else a moment ago.

    Raises ReadingFailedError, and Refusal (503) if the cluster must not be read now or a database fails.
    """
    read_whole(cluster, token, user_id)
    with drop_if_broken("jobs", "audit", raising=_unreadable):
        known = states_of(cluster.origin, cids)
        places = places_at(known.oldest.began_at) if known.oldest else (0, 0)
        return Comparison.of(known, cids, places)


def touches_since(comparison: Comparison, cluster_url: str, cids: Sequence[str]) -> Overlap:
    """Return which of these customers other attempts touched after a comparison, apart from those that were named.

    That is any action that was accepted, or is open or unknown. Raises Refusal (503) if the audit cannot tell.
    """
    if comparison.read_at is None:
        return NO_OVERLAP
    with drop_if_broken("audit", raising=_unreadable):
        later = attempts_since(comparison.read_at, comparison.places, cluster_url, cids)
    return overlap_of(cids, later, {}) if later else NO_OVERLAP


def _unreadable(_: Exception) -> Refusal:
    message = "A database cannot be read now, so nothing was compared or sent. Try again in a minute."
    return Refusal(503, "request", message)
