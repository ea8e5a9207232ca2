"""Filters of the admin's lists that stay quick over millions of rows, and say in the address what they show."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from tmsdash.days import NoDayError, day_of, first_moment, last_moment
from tmsdash.db.known_values import known_values
from tmsdash.text import one_line

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
# Whoever asks for one thing, or searches for it, wants it whenever it was.
PINPOINTS = frozenset({"q", "attempt_id", "job_id", "batch_id"})

if TYPE_CHECKING:
    SimpleListFilter = admin.SimpleListFilter
    AnyList = ChangeList
else:
    SimpleListFilter = admin.SimpleListFilter
    AnyList = Any


def others_of(changelist: AnyList, own: set[str | None]) -> list[tuple[str, str]]:
    """Return what a list is narrowed to besides a filter's `own` parameters, for a form that carries it on."""
    given = changelist.filter_params.items()
    return [(name, value) for name, values in given if name not in own for value in values]


class TimeFilter(admin.ListFilter):
    """Narrows a list to a period, the last 30 days unless the address says otherwise or names one thing.

    `time` is a number of days or `all`; `since` and `until` are days (UTC), and go before it.
    """

    title = "time (UTC)"
    template = "admin/time_filter.html"
    parameters = ("time", "since", "until")

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: type[Model], model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        for name in self.expected_parameters():
            if name in params:
                self.used_parameters[name] = params.pop(name)[-1]
        self.since, self.until = self._day(request, "since"), self._day(request, "until")
        wanted = str(self.used_parameters.get("time", ""))
        usual = "all" if any(request.GET.get(name) for name in PINPOINTS) else DEFAULT_DAYS
        has_days = bool(self.since or self.until)
        self.period = "" if has_days else wanted if wanted in PERIODS else usual
        self.hidden: list[tuple[str, str]] = []

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
        """Return from when on, and until when; None where there is no bound."""
        if self.period:
            days = None if self.period == "all" else timedelta(days=int(self.period))
            return (timezone.now() - days if days else None), None
        first = first_moment(self.since) if self.since else None
        return first, last_moment(self.until) if self.until else None

    def narrow(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return those of `rows`, which have `created_at`, that lie in the period."""
        first, last = self.bounds()
        if first:
            rows = rows.filter(created_at__gte=first)
        return rows.filter(created_at__lte=last) if last else rows

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return self.narrow(queryset)

    def choices(self, changelist: AnyList) -> Iterator[dict[str, Any]]:
        """Yield the periods; the template's form for two days carries the other filters on."""
        self.hidden = others_of(changelist, set(self.parameters))
        for period, words in PERIODS.items():
            yield {
                "selected": period == self.period,
                "query_string": changelist.get_query_string({"time": period}, ["since", "until"]),
                "display": words,
            }


class EqualFilter(SimpleListFilter):
    """Keeps the rows whose column `parameter_name` has the chosen value."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{str(self.parameter_name): self.value()}) if self.value() else queryset


class KnownValuesFilter(EqualFilter):
    """Offers the values that a column holds, the first ones by themselves, and a field for any other.

    An index must begin with the column.
    """

    template = "admin/known_values_filter.html"
    passed_over: tuple[str, str] | None = None
    """Values that are not offered, see `known_values`."""
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
        """Yield the values; the template's form for another one carries the other filters on."""
        self.hidden = others_of(changelist, {self.parameter_name})
        yield from super().choices(changelist)


class UserFilter(KnownValuesFilter):
    title = "user"
    parameter_name = "user_id"


class ClusterFilter(KnownValuesFilter):
    title = "cluster"
    parameter_name = "cluster_url"


class ActionFilter(KnownValuesFilter):
    """For what was asked for, which may be no action of TMS's at all."""

    title = "action"
    parameter_name = "action_type"
