"""What was read last of a cluster, for scripts, in JSON. Nothing is read for it."""

from typing import Any

from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache

from audit.selectors import may_look_up_customers
from jobs.live.codes import state_name
from jobs.live.states import cluster_row, newest_failure
from jobs.models import LiveCluster, LiveReading
from setactions.live.listing import UNREAD, Line, Wanted, WholeCluster
from setactions.tms.clusters import Cluster, cluster_named
from tmsdash.web.errors import error_json, json_get, limit_of

CUSTOMERS, MOST_CUSTOMERS = 1000, 5000  # of one answer


@never_cache
@json_get
def status(request: HttpRequest, name: str) -> JsonResponse:
    """Return the counts by state, and the next `limit` customers `after` an id, of one `state` if that is given."""
    limit = limit_of(request, default=CUSTOMERS, maximum=MOST_CUSTOMERS)
    if not may_look_up_customers(request.user):
        return error_json(403, "Your account may not see this. Ask an administrator for the permission.", "user")
    cluster = cluster_named(name)
    if cluster is None:
        return error_json(404, "There is no such cluster. Use a name of TMS_CLUSTERS.", "cluster")
    wanted = Wanted.parse(request.GET.get("state", ""))
    if wanted is None:
        return error_json(400, f'state must be the code of an action, such as 2, 0, -1, or "{UNREAD}".', "state")
    row = cluster_row(cluster.origin)
    lines: list[Line] = []
    if row:
        listing = WholeCluster(row)
        rows = listing.matching(wanted).filter(cid__gt=request.GET.get("after", ""))
        lines = list(listing.lines(rows[: limit + 1]))
    shown = lines[:limit]
    customers = {
        "customers": [_customer(line) for line in shown],
        "next_after": shown[-1].cid if len(lines) > limit else None,
    }
    return JsonResponse({"success": True} | status_json(cluster, row) | customers)


def status_json(cluster: Cluster, row: LiveCluster | None) -> dict[str, Any]:
    """Return what was read last of a cluster, with how many customers are in each state."""
    counts = WholeCluster(row).counts if row else {}
    failed = newest_failure(row) if row else None
    return {
        "cluster": cluster.name,
        "cluster_url": cluster.origin,
        "reading": _reading(row.whole) | {"customer_count": row.whole.customer_count} if row and row.whole else None,
        "failed": {"read_at": failed.ended_at.isoformat(), "problem": failed.problem} if failed else None,
        "customer_count": sum(counts.values()),
        "counts": {state_name(code): count for code, count in counts.items() if code is not None},
    }


def _customer(line: Line) -> dict[str, Any]:
    state = line.state
    known = {"action_code": state.code, **_reading(state.reading)} if state else {}
    return {"customer_id": line.cid, "action_name": line.state_in_words, **known}


def _reading(reading: LiveReading) -> dict[str, Any]:
    return {"read_at": reading.began_at.isoformat(), "source": reading.source, "user_id": reading.user_id}
