"""The filters of the customers of an app status run, as they are in the address of its page."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.db.models import Exists, OuterRef, QuerySet
from django.http import QueryDict
from django.utils.http import urlencode

from audit.models import CID_LENGTH
from jobs.app_status.selectors import CONDITIONS, Health
from jobs.app_status.statuses import KNOWN, Status, status_of
from jobs.filters import KnownChoiceField
from jobs.models import AppRun, AppRunCustomer, AppStatus

MISSING = "missing"  # in the place of a status: TMS does not list the app for the customer


class CustomerFilters(forms.Form):
    """Which customers of a run to list: after `is_valid()`, its `customers`."""

    health = KnownChoiceField("health", [(code.value, code.label) for code in CONDITIONS])
    app = KnownChoiceField("app")
    status = KnownChoiceField("status", [*Status.choices, (MISSING, "Not listed")])
    q = forms.CharField(
        label="Customer ID contains",
        required=False,
        max_length=CID_LENGTH,
        error_messages={"max_length": f"A customer id has at most {CID_LENGTH} characters. Give a part of one."},
    )

    def __init__(self, data: QueryDict, app_names: Iterable[str] = ()) -> None:
        """Take the query of an address, and the names of the apps that the run has."""
        super().__init__(data)
        app: Any = self.fields["app"]
        app.choices = [app.any_of_them, *((name, name) for name in app_names)]
        for field in self.fields.values():
            field.widget.attrs |= {"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}

    @property
    def active(self) -> dict[str, str]:
        """The filters that are set, by name, with their text."""
        return {name: text for name in self.fields if (text := str(self.data.get(name, "")).strip())}

    def query(self, **place: Any) -> str:
        """Return the query of an address with these filters, with its question mark; `place` says where it begins."""
        query = self.active | place
        return f"?{urlencode(query)}" if query else ""

    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        if data.get("status") == MISSING and not data.get("app"):
            self.add_error("app", "Choose the app that is not listed.")
        return data

    def customers(self, run: AppRun) -> QuerySet[AppRunCustomer]:
        """Return the customers of a run that these filters ask for, in order."""
        data = self.cleaned_data
        customers = AppRunCustomer.objects.filter(run=run).order_by("position")
        if condition := data["health"]:
            is_health = condition in Health.values
            customers = customers.filter(**{"health" if is_health else "state": condition})
        if self.asks_for_apps:
            customers = _with_app(customers, data["app"], data["status"])
        return customers.filter(cid__icontains=data["q"]) if data["q"] else customers

    @property
    def asks_for_apps(self) -> bool:
        """Whether they ask for an app, or for apps with a status."""
        return bool(self.cleaned_data["app"] or self.cleaned_data["status"])

    def shows(self, app: AppStatus) -> bool:
        """Tell whether an app of a customer who matches is among those that the filters ask for."""
        is_named = self.cleaned_data["app"] in ("", app.app_name)
        return is_named and self.cleaned_data["status"] in ("", status_of(app.status))


def _with_app(customers: QuerySet[AppRunCustomer], app_name: str, status: str) -> QuerySet[AppRunCustomer]:
    apps = AppStatus.objects.filter(customer=OuterRef("pk"))
    if app_name:
        apps = apps.filter(app_name=app_name)
    if status == MISSING:
        return customers.filter(~Exists(apps), state=AppRunCustomer.State.READ)
    if status == Status.UNKNOWN:
        apps = apps.exclude(status__in=KNOWN)
    elif status:
        apps = apps.filter(status=status)
    return customers.filter(Exists(apps))
