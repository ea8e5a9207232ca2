"""The pages of live states: what TMS showed last of the customers of a cluster, and reading it anew."""

import uuid
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import Error as AnyDatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from audit.selectors import may_look_up_customers
from jobs.live.lists import keep_list
from jobs.live.states import cluster_row, newest_failure, states_of, whole_reading
from setactions.live.listing import Chosen, WholeCluster, csv_lines
from setactions.live.reading import being_read_since, read_whole, take_answer
from setactions.pages.review import token_of
from setactions.pages.status_forms import AnswerForm, ListForm, StatusFilters
from setactions.pages.status_view import ClusterLine, StatusView
from setactions.permissions import may_set_action
from setactions.reads import ReadingFailedError
from setactions.refusal import Refusal
from setactions.tms.clusters import Cluster, all_clusters, cluster_named
from setactions.token import Token
from tmsdash.csv_text import CSV_TYPE
from tmsdash.db import clock
from tmsdash.db.transactions import drop_if_broken
from tmsdash.downloads import download
from tmsdash.web.errors import error_response
from tmsdash.web.kept_forms import Fields, keeps, kept_of
from tmsdash.web.paging import Page, numbered_page

CUSTOMERS_PER_PAGE = 100
BAD_GATEWAY = 502
View = Callable[[HttpRequest, Cluster], HttpResponseBase]


@never_cache
@require_safe
def clusters(request: HttpRequest) -> HttpResponse:
    """List the clusters with what was read of them last; lead on if there is only one."""
    check_may_look_up(request)
    if len(every := all_clusters()) == 1:
        return redirect("live_status", name=every[0].name)
    lines = [ClusterLine(cluster=cluster, whole=whole_reading(cluster.origin)) for cluster in every]
    return render(request, "live/clusters.html", {"lines": lines})


def of_cluster(view: View) -> Callable[[HttpRequest, str], HttpResponseBase]:
    """Give a view the cluster that an address names, for those who may look customers up."""

    @never_cache
    @wraps(view)
    def of_named(request: HttpRequest, name: str) -> HttpResponseBase:
        check_may_look_up(request)
        cluster = cluster_named(name)
        if cluster is None:
            raise Http404
        return view(request, cluster)

    return of_named


def button(view: View) -> Callable[[HttpRequest, str], HttpResponseBase]:
    """The same for what a form is posted to; on a GET, which is the way back from signing in, lead to the page."""

    @sensitive_post_parameters()
    @require_http_methods(["GET", "POST"])
    @of_cluster
    @wraps(view)
    def posted(request: HttpRequest, cluster: Cluster) -> HttpResponseBase:
        if request.method == "GET":
            return _page_again(request, cluster)
        return view(request, cluster)

    return posted


@require_safe
@of_cluster
def live_status(request: HttpRequest, cluster: Cluster) -> HttpResponse:
    """Show the newest states of the customers that the filters ask for."""
    return _page(request, cluster)


@require_safe
@of_cluster
def customers_csv(request: HttpRequest, cluster: Cluster) -> HttpResponseBase:
    """Download all customers that the filters ask for, with their newest states."""
    filters = StatusFilters(request.GET, viewer=request.user, cluster=cluster)
    if not filters.is_valid():
        return error_response(request, 400, "The address asks for nothing that there is. Filter the page again.")
    listing = listing_of(cluster, filters)
    lines = listing.lines(listing.matching(filters.wanted)) if listing else iter(())  # type: ignore[arg-type]
    return download(csv_lines(lines), f"status-{cluster.name}.csv", CSV_TYPE)


@button
@sensitive_variables()
def read(request: HttpRequest, cluster: Cluster) -> HttpResponse:
    """Read the cluster, or share the reading that somebody else makes, and show it.

    The page that answers has the token sealed in it, so that it can read again.
    """
    _check_may_read(request)
    sealed, asked_at = "", clock.now("jobs")
    try:
        token, sealed = token_for(request, cluster)
        reading = read_whole(cluster, token, request.user.get_username())
    except ReadingFailedError as error:
        return _page(request, cluster, status=BAD_GATEWAY, error=str(error), sealed="" if error.bad_token else sealed)
    except Refusal as refusal:
        return _page(request, cluster, status=refusal.code, error=refusal.message, sealed=sealed)
    shared = "TMS was not asked again: this is the reading that had begun just before."
    return _page(request, cluster, sealed=sealed, news=shared if reading.began_at < asked_at else "")


@keeps(Fields(lists=("cids",), file="csv_file", file_is="cids"))
@button
def keep(request: HttpRequest, cluster: Cluster) -> HttpResponse:
    """Keep a list that was pasted or uploaded, and lead to its customers."""
    form = ListForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, cluster, status=400, list_form=form)
    try:
        with drop_if_broken("jobs"):
            kept = keep_list(request.user.get_username(), form.ids)
    except AnyDatabaseError:
        form.add_error(None, "The jobs database cannot be written, so the list is not kept. Try again in a minute.")
        return _page(request, cluster, status=503, list_form=form)
    filters = StatusFilters(request.GET, viewer=request.user, cluster=cluster)
    return redirect(filters.address(without=("job", "batch", "basis", "q"), list=kept.list_id))


@keeps(Fields(texts=("answer", "read_at", "may_be_fewer"), file="answer_file", file_is="answer"))
@button
def answer(request: HttpRequest, cluster: Cluster) -> HttpResponse:
    """Take an answer to get/action that its user read elsewhere."""
    _check_may_read(request)
    form = AnswerForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, cluster, status=400, answer_form=form)
    user_id, may_be_fewer = request.user.get_username(), form.cleaned_data["may_be_fewer"]
    try:
        reading = take_answer(cluster, form.content, form.cleaned_data["read_at"], user_id, may_be_fewer=may_be_fewer)
    except ReadingFailedError as error:
        form.add_error(None, str(error))
        return _page(request, cluster, status=400, answer_form=form)
    except Refusal as refusal:
        return _page(request, cluster, status=refusal.code, error=refusal.message)
    if whole_reading(cluster.origin) != reading:
        return _page(
            request, cluster, news="The answer is kept, but it is older than what was known, so it shows nothing."
        )
    return redirect("live_status", name=cluster.name)


def token_for(request: HttpRequest, cluster: Cluster) -> tuple[Token, str]:
    """Return the token that was typed or came sealed with a page, and its seal for reading this cluster again."""
    return token_of(request, uuid.uuid5(uuid.NAMESPACE_URL, cluster.origin))


def check_may_look_up(request: HttpRequest) -> None:
    """Raise PermissionDenied unless the user may look customers up."""
    if not may_look_up_customers(request.user):
        raise PermissionDenied


def _check_may_read(request: HttpRequest) -> None:
    if not may_set_action(request.user):
        raise PermissionDenied


def _page_again(request: HttpRequest, cluster: Cluster) -> HttpResponse:
    """Show the page to somebody who comes back from signing in, with what they had typed."""
    kept = kept_of(request)
    if kept is None:
        return redirect("live_status", name=cluster.name)
    if "answer" in kept.fields:
        return _page(request, cluster, kept=kept, answer_form=AnswerForm(initial=kept.fields))
    return _page(request, cluster, kept=kept, list_form=ListForm(initial=kept.fields))


def _page(request: HttpRequest, cluster: Cluster, *, status: int = 200, **shown: Any) -> HttpResponse:
    filters = StatusFilters(request.GET, viewer=request.user, cluster=cluster)
    is_valid = filters.is_valid()
    listing = listing_of(cluster, filters) if is_valid else None
    page: Page[Any] = Page(rows=[])
    matching = 0
    if listing:
        rows = listing.matching(filters.wanted)
        matching = count if (count := listing.count(filters.wanted)) is not None else _length(rows)
        page = numbered_page(
            rows,
            request.GET.get("page"),
            CUSTOMERS_PER_PAGE,
            lambda number: filters.address(page=number) + "#customers-title",
            count=matching,
        )
    row = cluster_row(cluster.origin)
    forms = {"list_form": ListForm(), "answer_form": AnswerForm()}
    view = StatusView(
        cluster=cluster,
        clusters=all_clusters(),
        filters=filters,
        listing=listing,
        page=page,
        matching=matching,
        whole=row.whole if row else None,
        failed=newest_failure(row) if row else None,
        read_since=being_read_since(row),
        may_read=may_set_action(request.user),
        **forms | shown,
    )
    return render(request, "live/status.html", {"view": view}, status=status if is_valid else 400)


def _length(rows: Any) -> int:
    return len(rows) if isinstance(rows, Sequence) else rows.count()


def listing_of(cluster: Cluster, filters: StatusFilters) -> WholeCluster | Chosen | None:
    """Return the customers that valid filters choose from; None if nothing was ever read of any."""
    if filters.cids is not None:
        return Chosen(states_of(cluster.origin, filters.cids), filters.cids)
    row = cluster_row(cluster.origin)
    return WholeCluster(row) if row else None
