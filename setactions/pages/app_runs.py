"""The pages of app status runs: the list with the form that begins one, one run with its customers, and its buttons."""

import uuid
from collections.abc import Iterator

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from jobs.app_status.filters import CustomerFilters
from jobs.app_status.runbook import runbook
from jobs.app_status.selectors import (
    apps_of,
    customers_with_apps,
    numbers_of,
    read_between,
    run_for,
    runs_for,
    summaries_of,
)
from jobs.models import AppRun, AppRunCustomer, AppStatus
from jobs.selectors import may_view_all_jobs
from setactions.app_status import service
from setactions.pages.app_run_forms import FILTERS, StartForm
from setactions.pages.app_run_view import RunLine, RunView, lines_of
from setactions.permissions import may_set_action
from setactions.refusal import Refusal
from setactions.typed_token import typed_token
from tmsdash.csv_text import CSV_TYPE, csv_text, to_cell, to_id_cell
from tmsdash.db.transactions import drop_if_broken
from tmsdash.downloads import download
from tmsdash.web.errors import error_response
from tmsdash.web.kept_forms import Fields, Kept, keeps, kept_of
from tmsdash.web.paging import Page, numbered_page

RUNS_PER_PAGE = 50
CUSTOMERS_PER_PAGE = 100
COLUMNS = ("customer_id", "state", "health", "app", "status", "reason", "problem", "read_at")


@never_cache
@require_safe
def app_runs(request: HttpRequest) -> HttpResponse:
    """List runs, newest first: the user's own, or everybody's for those who may see them."""
    return _list(request, StartForm(user=request.user))


@keeps(Fields(texts=("cluster", *FILTERS), lists=("cids",)))
@never_cache
@sensitive_post_parameters()
@sensitive_variables()
@require_http_methods(["GET", "POST"])
def start(request: HttpRequest) -> HttpResponse:
    """Begin a run of the customers that a form names, and lead to its page; what is wrong is shown above the form."""
    if request.method == "GET":  # the way back from the sign-in page
        kept = kept_of(request)
        if kept is None:
            return redirect("app_runs")
        return _list(request, StartForm(user=request.user, initial=kept.fields), kept=kept)
    if not may_set_action(request.user):
        raise PermissionDenied
    form = StartForm(request.POST, user=request.user)
    if not form.is_valid():
        return _list(request, form, status=400)
    try:
        with drop_if_broken("jobs", raising=_unwritable):
            run = service.start_run(user=request.user, selection=form.selection, token=form.secret)
    except Refusal as refusal:
        form.add_error(None, refusal.message)
        return _list(request, form, status=refusal.code)
    return redirect("app_run", run_id=run.run_id)


def _unwritable(_: Exception) -> Refusal:
    message = "The jobs database cannot be written, so nothing is read. Enter your token again in a minute."
    return Refusal(503, "request", message)


def _list(request: HttpRequest, form: StartForm, *, status: int = 200, kept: Kept | None = None) -> HttpResponse:
    may_all = may_view_all_jobs(request.user)
    everybody = may_all and (request.GET.get("whose") == "all" or not may_set_action(request.user))
    address = reverse("app_runs")
    everybodys = f"{address}?whose=all"
    page: Page[AppRun] = numbered_page(
        runs_for(request.user, everybody=everybody),
        request.GET.get("page"),
        RUNS_PER_PAGE,
        lambda number: f"{address}?{urlencode(({'whose': 'all'} if everybody else {}) | {'page': number})}",
    )
    service.stop_dead_runs(page.rows)
    context = {
        "form": form,
        "kept": kept,
        "page": page,
        "lines": [*map(RunLine, page.rows, summaries_of(page.rows))],
        "may_view_all": may_all,
        "everybody": everybody,
        "all": everybodys,
    }
    return render(request, "app_status/run_list.html", context, status=status)


@never_cache
@require_safe
def app_run(request: HttpRequest, run_id: uuid.UUID, template: str = "app_status/run.html") -> HttpResponse:
    """Show one run. While it goes on, its page asks for the `template` of the part that changes."""
    view = _view(request, _load(request, run_id))
    return render(request, template, {"view": view}, status=400 if view.filters.errors else 200)


@never_cache
@sensitive_post_parameters()
@sensitive_variables()
@require_http_methods(["GET", "POST"])
def control(request: HttpRequest, run_id: uuid.UUID, verb: str) -> HttpResponse:
    """Do to a run what the button with this verb says: pause, stop or resume."""
    run = _load(request, run_id)
    if request.method == "POST":  # else it is the way back from the sign-in page
        try:
            if verb == "pause":
                service.pause_run(user=request.user, run=run)
            elif verb == "stop":
                service.stop_run(user=request.user, run=run)
            else:
                typed = request.POST.get("token", "").strip()
                service.resume_run(
                    user=request.user, run=run, token=typed_token(typed, request.user) if typed else None
                )
        except Refusal as refusal:
            if refusal.code == 403:
                raise PermissionDenied(refusal.message) from None
            view = _view(request, _load(request, run_id), refusal.message)
            return render(request, "app_status/run.html", {"view": view}, status=refusal.code)
    return redirect("app_run", run_id=run_id)


@never_cache
@require_safe
def customers_csv(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse | StreamingHttpResponse:
    """Download the customers that the filters ask for: a row for each of their apps, or one where there is none."""
    run = _load(request, run_id)
    filters = _filters(request, run)
    if not filters.is_valid():
        return error_response(request, 400, "The address asks for nothing that there is. Filter the page again.")
    return download(_csv_lines(run, filters), f"app-status-{run_id}.csv", CSV_TYPE)


def _load(request: HttpRequest, run_id: uuid.UUID) -> AppRun:
    """Return the run as it is now; raises Http404 if there is none that this user may see."""
    run = run_for(request.user, run_id)
    if run is None:
        raise Http404
    service.stop_dead_runs([run])
    return run


def _filters(request: HttpRequest, run: AppRun) -> CustomerFilters:
    names = AppStatus.objects.filter(run=run).order_by("app_name").values_list("app_name", flat=True).distinct()
    return CustomerFilters(request.GET, names)


def _view(request: HttpRequest, run: AppRun, error: str = "") -> RunView:
    summary, matrix = numbers_of(run)
    filters = CustomerFilters(request.GET, [row.app_name for row in matrix])
    customers = filters.customers(run) if filters.is_valid() else AppRunCustomer.objects.none()
    matching = customers.count()
    page: Page[AppRunCustomer] = numbered_page(
        customers,
        request.GET.get("page"),
        CUSTOMERS_PER_PAGE,
        lambda number: f"{reverse('app_run', args=[run.run_id])}{filters.query(page=number)}#customers-title",
        count=matching,
    )
    return RunView(
        run=run,
        summary=summary,
        matrix=matrix,
        read_between=read_between(run),
        filters=filters,
        page=page,
        lines=lines_of(page.rows, apps_of(page.rows), filters, runbook()) if page.rows else (),
        matching=matching,
        may_control=may_set_action(request.user),
        is_owner=run.user_id == request.user.get_username(),
        error=error,
    )


def _csv_lines(run: AppRun, filters: CustomerFilters) -> Iterator[str]:
    yield csv_text([COLUMNS])
    for customer, apps in customers_with_apps(run, filters.customers(run)):
        known = (to_id_cell(customer.cid), customer.state, customer.health)
        ending = (to_cell(customer.problem), customer.read_at.isoformat() if customer.read_at else "")
        shown = [app for app in apps if filters.shows(app)]
        cells = [(to_cell(app.app_name), to_cell(app.status), to_cell(app.reason)) for app in shown]
        yield csv_text([*known, *of_app, *ending] for of_app in cells or [("", "", "")])
