"""Everything that was ever asked for a customer, what TMS showed of it last, and the search for several at once."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from audit.customer_index import is_known
from audit.models import CID_LENGTH, Attempt
from audit.selectors import (
    attempts_of_customer,
    jobs_of_log_rows,
    last_attempts_of,
    may_view_in_full,
    older_than,
)
from jobs.live.codes import state_name
from jobs.live.states import KnownState, states_of
from setactions.inputs.csv_table import read_list
from setactions.inputs.ids import is_allowed
from setactions.live.reading import read_one
from setactions.pages.status import check_may_look_up, token_for
from setactions.permissions import may_set_action
from setactions.reads import ReadingFailedError
from setactions.refusal import Refusal
from setactions.tms.clusters import Cluster, all_clusters, cluster_named
from setactions.token import AMONG_IDS
from tmsdash.web.clusters import cluster_choices
from tmsdash.web.paging import page_behind

ATTEMPTS_PER_PAGE = 50
SEARCHED_AT_ONCE = 100  # ids, which fit into an address
_SEPARATOR = re.compile(r"[\s,;]+")


@dataclass(frozen=True)
class StateLine:
    """What is known of a customer on a cluster."""

    cluster: Cluster
    state: KnownState

    @property
    def in_words(self) -> str:
        return state_name(self.state.code)


@dataclass(frozen=True)
class CustomerLine:
    """A customer that was searched for: the last attempt on it, None if nothing was ever asked for, and its states."""

    cid: str
    attempt: Attempt | None
    states: Sequence[StateLine]


@dataclass(frozen=True)
class AttemptLine:
    """An attempt on the customer, whether all of it is shown, and its Job and row of the old audit log, if any."""

    attempt: Attempt
    in_full: bool
    job_id: uuid.UUID | None
    log_row_id: uuid.UUID | None


@never_cache
@require_safe
def find_customer(request: HttpRequest) -> HttpResponse:
    """Ask for customer ids: lead to the page of one, or show what is known of each of several."""
    check_may_look_up(request)
    given = request.GET.get("cid", "").strip()
    context: dict[str, Any] = {"given": given}
    try:
        cids = _searched(given)
    except Refusal as refusal:
        return render(request, "live/customer.html", context | {"error": refusal.message}, status=400)
    if len(cids) == 1:
        return redirect("customer", cid=cids[0])
    last, states = last_attempts_of(cids), _states_of(cids)
    lines = [CustomerLine(cid, last.get(cid), states[cid]) for cid in cids]
    return render(request, "live/customer.html", context | {"lines": lines})


def _searched(text: str) -> Sequence[str]:
    """Return the ids in what was typed; an id that is known may hold what otherwise separates two.

    A line of text has no lines of its own, and whoever types it separates by what comes to hand.
    """
    is_one = not _SEPARATOR.search(text) or (len(text) <= CID_LENGTH and is_known(text))
    if is_one and len(text) > CID_LENGTH:
        raise Refusal(400, "cid", f"A customer id has at most {CID_LENGTH} characters. Give whole ids.")
    if is_one:
        return [text] if text else []
    one_by_one = "\n".join(filter(None, _SEPARATOR.split(text)))
    cids = read_list(one_by_one.encode(errors="surrogatepass"), allow_unusual=True).cids
    if len(cids) > SEARCHED_AT_ONCE:
        raise Refusal(
            400, "cid", f"Nothing was searched: give {SEARCHED_AT_ONCE} ids at most. Status takes lists of any length."
        )
    return cids


def _states_of(cids: Sequence[str]) -> dict[str, list[StateLine]]:
    """Return what is known of each customer, on each cluster of which anything is."""
    lines: dict[str, list[StateLine]] = {cid: [] for cid in cids}
    for cluster in all_clusters():
        for cid, state in states_of(cluster.origin, cids).by_cid.items():
            lines[cid].append(StateLine(cluster, state))
    return lines


@never_cache
@require_safe
def customer(request: HttpRequest, cid: str) -> HttpResponse:
    """Show what TMS showed last of a customer, and what was asked for it, newest first, by whom, with what result.

    Everybody who may send sees that much of every attempt. The rest is for auditors, and for who made the attempt.
    """
    check_may_look_up(request)
    return _page(request, cid)


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
@sensitive_variables()
def read_customer(request: HttpRequest) -> HttpResponse:
    """Read what a cluster shows of one customer, and lead to the customer's page."""
    if request.method == "GET":
        return redirect("find_customer")
    if not may_set_action(request.user):
        raise PermissionDenied
    cid, cluster = request.POST.get("cid", ""), cluster_named(request.POST.get("cluster", ""))
    if not is_allowed(cid):
        error = "Give the id of one customer."
        return render(request, "live/customer.html", {"given": "", "error": error}, status=400)
    try:
        if cluster is None:
            raise Refusal(400, "cluster", "Choose a cluster.")
        token = token_for(request, cluster)[0]
        if token.is_among([cid]):
            return render(request, "live/customer.html", {"given": "", "error": AMONG_IDS}, status=400)
        read_one(cluster, cid, token, request.user.get_username())
    except ReadingFailedError as error:
        return _page(request, cid, status=502, error=str(error))
    except Refusal as refusal:
        return _page(request, cid, status=refusal.code, error=refusal.message)
    return redirect("customer", cid=cid)


def _page(request: HttpRequest, cid: str, *, status: int = 200, error: str = "") -> HttpResponse:
    own_page = reverse("customer", args=[cid])
    page = page_behind(
        attempts_of_customer(cid),
        request.GET.get("before", ""),
        ATTEMPTS_PER_PAGE,
        older_than,
        lambda **place: own_page + (f"?{urlencode(place)}" if place else ""),
    )
    attempts = page.rows
    jobs = jobs_of_log_rows(attempts)
    # One action is one line: that of its job leads to the row of the old audit log that tells of the same.
    log_rows = {job_id: row_id for row_id, job_id in jobs.items()}
    shown = {attempt.attempt_id for attempt in attempts}
    context = {
        "cid": cid,
        "page": page,
        "rows": [
            _row(request.user, attempt, jobs.get(attempt.attempt_id), log_rows.get(attempt.attempt_id))
            for attempt in attempts
            if jobs.get(attempt.attempt_id) not in shown
        ],
        "states": _states_of([cid])[cid],
        "clusters": cluster_choices() if may_set_action(request.user) and is_allowed(cid) else (),
        "asked": request.POST.get("cluster", ""),
        "problem": error,
    }
    return render(request, "live/customer.html", context, status=status)


def _row(user: Any, attempt: Attempt, job_id: uuid.UUID | None, log_row_id: uuid.UUID | None) -> AttemptLine:
    in_full = may_view_in_full(user, attempt)
    return AttemptLine(attempt, in_full, attempt.attempt_id if attempt.has_job else job_id, log_row_id)
