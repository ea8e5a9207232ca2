"""Filters for the admin's lists that stay fast over millions of rows, and keep what they show in the address."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from tmsdash.days import NoDayError, day_of, first_moment, last_moment
from tmsdash.db.known_values import known_values
from tmsdash.text import one_line
from tmsdash.web.day_zone import DAYS, ZONE, NoZoneError, zone_of_days
from tmsdash.web.display import UTC
from tmsdash.web.long_lists import behind_parameters

VALUES_SHOWN = 100
DEFAULT_DAYS = "30"
PERIODS = {
    "1": "Last 24 hours",
    "7": "Last 7 days",
    DEFAULT_DAYS: "Last 30 days",
    "90": "Last 90 days",
    "365": "Last 365 days",
    "all": "All time",
}
# A search, or a link to one thing, is not limited to the usual period.
PINPOINTS = frozenset({"q", "attempt_id", "job_id", "batch_id"})

if TYPE_CHECKING:
    SimpleListFilter = admin.SimpleListFilter
    AnyList = ChangeList
else:
    SimpleListFilter = admin.SimpleListFilter
    AnyList = Any


def parameters_besides(changelist: AnyList, own: set[str | None]) -> list[tuple[str, str]]:
    """Return the parameters of a list's other filters, for the hidden fields of the form of a filter with its `own`."""
    left_out = own | {*behind_parameters(changelist.model)}
    return [
        (name, value) for name, values in changelist.filter_params.items() if name not in left_out for value in values
    ]


class TimeFilter(admin.ListFilter):
    """Narrows a list to a period: the last 30 days, unless the address says otherwise or asks for one thing.

    `time` is a number of days or `all`; `since` and `until` are days of a `zone`, and take precedence over it.
    """

    title = "time"
    template = "admin/time_filter.html"
    parameters = ("time", *DAYS, ZONE)

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: type[Model], model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        for name in self.expected_parameters():
            if name in params:
                self.used_parameters[name] = params.pop(name)[-1]
        try:
            self.zone = zone_of_days(self.used_parameters)
            self.since, self.until = self._day(request, "since"), self._day(request, "until")
        except NoZoneError as error:
            messages.error(request, str(error))
            self.zone, self.since, self.until = UTC, None, None
        self.title = f"time ({self.zone})"
        default = "all" if any(request.GET.get(name) for name in PINPOINTS) else DEFAULT_DAYS
        chosen = str(self.used_parameters.get("time", ""))
        self.period = "" if self.since or self.until else chosen if chosen in PERIODS else default
        self.hidden: list[tuple[str, str]] = []
        self._keys_of_period = getattr(model_admin, "keys_of_period", lambda first, last: Q())

    def _day(self, request: HttpRequest, name: str) -> date | None:
        text = str(self.used_parameters.get(name, ""))
        if not text:
            return None
        try:
            return day_of(text)
        except NoDayError as error:
            messages.error(request, str(error))
            return None

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.parameters)

    def bounds(self) -> tuple[datetime | None, datetime | None]:
        """Return the first and the last moment of the period, each None if there is no such bound."""
        if self.period:
            days = None if self.period == "all" else timedelta(days=int(self.period))
            return (timezone.now() - days if days else None), None
        zone = ZoneInfo(self.zone)
        first = first_moment(self.since, zone) if self.since else None
        return first, last_moment(self.until, zone) if self.until else None

    def narrow(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return the `rows` whose `created_at` lies in the period."""
        first, last = self.bounds()
        if first:
            rows = rows.filter(created_at__gte=first)
        return rows.filter(created_at__lte=last) if last else rows

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return self.narrow(queryset).filter(self._keys_of_period(*self.bounds()))

    def choices(self, changelist: AnyList) -> Iterator[dict[str, Any]]:
        """Yield the periods, and keep the other filters for the template's form for two days."""
        self.hidden = parameters_besides(changelist, set(self.parameters))
        for period, label in PERIODS.items():
            yield {
                "selected": period == self.period,
                "query_string": changelist.get_query_string({"time": period}, [*DAYS, ZONE]),
                "display": label,
            }


class EqualFilter(SimpleListFilter):
    """Keeps the rows whose column `parameter_name` has the chosen value."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{str(self.parameter_name): self.value()}) if self.value() else queryset


class KnownValuesFilter(EqualFilter):
    """Offers the first values that a column holds, and a field for any other. An index must begin with the column."""

    template = "admin/known_values_filter.html"
    passed_over: tuple[str, str] | None = None
    """The range of values that are not offered, see `known_values`."""
    hidden: list[tuple[str, str]] = []

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        name, chosen = str(self.parameter_name), self.value()
        values = known_values(model_admin.model, name, VALUES_SHOWN + 1, passed_over=self.passed_over)
        self.has_more = len(values) > VALUES_SHOWN
        shown = values[:VALUES_SHOWN]
        if chosen and chosen not in shown:
            shown.append(chosen)
        return [(value, one_line(value)) for value in shown]

    def choices(self, changelist: AnyList) -> Any:
        """Yield the values, and keep the other filters for the template's form for another one."""
        self.hidden = parameters_besides(changelist, {self.parameter_name})
        yield from super().choices(changelist)


class UserFilter(KnownValuesFilter):
    title = "user"
    parameter_name = "user_id"


class ClusterFilter(KnownValuesFilter):
    title = "cluster"
    parameter_name = "cluster_url"


class ActionFilter(KnownValuesFilter):
    """Offers the actions that were requested, which need not be actions of TMS."""

    title = "action"
    parameter_name = "action_type"
