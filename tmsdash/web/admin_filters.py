"""Filters for the admin's lists that stay fast over millions of rows, and keep what they show in the address.

Most are drawn as a field of the form that tmsdash.web.admin_lists makes of them; some have `own_fields`.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from tmsdash.days import NoDayError, day_of, first_moment, last_moment
from tmsdash.db.known_values import known_values_of
from tmsdash.text import one_line
from tmsdash.web.chips import Chip
from tmsdash.web.clusters import cluster_choices
from tmsdash.web.day_field import DayField
from tmsdash.web.day_zone import DAYS, ZONE, NoZoneError, zone_of_days
from tmsdash.web.display import UTC

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


class TimeFilter(admin.ListFilter):
    """Narrows a list to a period: the last 30 days, unless the address says otherwise or asks for one thing.

    `time` is a number of days or `all`; `since` and `until` are days of a `zone`, and take precedence over it.
    """

    title = "time"
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
        self.default = "all" if any(request.GET.get(name) for name in PINPOINTS) else DEFAULT_DAYS
        chosen = str(self.used_parameters.get("time", ""))
        self.period = "" if self.since or self.until else chosen if chosen in PERIODS else self.default
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

    def own_fields(self, changelist: AnyList) -> dict[str, forms.Field]:
        """Return a field for the period, which says what an address without one means, and one for each of two days."""
        unset = PERIODS[self.default] if self.period else "The days given"
        periods = [("", unset), *((period, words) for period, words in PERIODS.items() if period != self.default)]
        chosen = "" if self.period == self.default else self.period
        return {
            "time": forms.ChoiceField(label="Period", choices=periods, initial=chosen),
            "since": DayField(f"From day ({self.zone})", initial=self.since),
            "until": DayField(f"To day ({self.zone})", initial=self.until),
        }

    def chip(self, changelist: AnyList) -> Chip | None:
        """Return the chip of a period, that of the default included; the days have their own."""
        if self.period in ("", "all"):
            return None
        return Chip(PERIODS[self.period], changelist.get_query_string({"time": "all"}, [*DAYS, ZONE]))


class EqualFilter(SimpleListFilter):
    """Keeps the rows whose column `parameter_name` has the chosen value."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{str(self.parameter_name): self.value()}) if self.value() else queryset


class KnownValuesFilter(EqualFilter):
    """Offers the first values that a column holds, and takes any other. An index must begin with the column."""

    passed_over: tuple[str, str] | None = None
    """The range of values that are not offered, see `known_values`."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        chosen, values = self.value(), _known_values(request, model_admin)[str(self.parameter_name)]
        self.has_more = len(values) > VALUES_SHOWN
        shown = values[:VALUES_SHOWN]
        if chosen and chosen not in shown:
            shown.append(chosen)
        return [(value, self.words_for(value)) for value in shown]

    def words_for(self, value: str) -> str:
        """Return how a value is shown."""
        return one_line(value)

    def own_fields(self, changelist: AnyList) -> dict[str, forms.Field] | None:
        """Return a field to type into if there are more values than are offered; None if one can choose."""
        if not self.has_more:
            return None
        widget = SuggestingInput([value for value, _ in self.lookup_choices])
        hint = f"Only the first {VALUES_SHOWN} are offered. Type any other {self.title} in full."
        field = forms.CharField(
            label=capfirst(self.title), help_text=hint, initial=self.value(), max_length=300, widget=widget
        )
        return {str(self.parameter_name): field}


def _known_values(request: HttpRequest, model_admin: Any) -> dict[str, list[str]]:
    """Return the first values of the columns of all such filters of a list, which are read together for a page."""
    if not hasattr(request, "known_values"):
        columns = {
            str(listed.parameter_name): listed.passed_over
            for listed in model_admin.get_list_filter(request)
            if getattr(listed, "lookups", None) is KnownValuesFilter.lookups  # and not values of its own
        }
        request.known_values = known_values_of(model_admin.model, columns, VALUES_SHOWN + 1)  # type: ignore[attr-defined]
    values: dict[str, list[str]] = request.known_values  # type: ignore[attr-defined]
    return values


class SuggestingInput(forms.TextInput):
    """A field to type into that offers some values."""

    def __init__(self, values: Sequence[str]) -> None:
        super().__init__({"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"})
        self._values = values

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        own_id = f"{(attrs or {}).get('id', name)}_values"
        options = format_html_join("", "<option>{}</option>", ((text,) for text in self._values))
        field = super().render(name, value, {**(attrs or {}), "list": own_id}, renderer)
        return format_html('{}<datalist id="{}">{}</datalist>', field, own_id, options)


class UserFilter(KnownValuesFilter):
    title = "user"
    parameter_name = "user_id"


class ClusterFilter(KnownValuesFilter):
    title = "cluster"
    parameter_name = "cluster_url"

    def words_for(self, value: str) -> str:
        return words_for_cluster(value)


def words_for_cluster(origin: str) -> str:
    """Return how a filter names the cluster at an origin: as the form of a new action does if it is configured."""
    labels = {settings.TMS_CLUSTERS[name]: label for name, label in cluster_choices()}
    return labels.get(origin) or one_line(origin)


class ActionFilter(KnownValuesFilter):
    """Offers the actions that were requested, which need not be actions of TMS."""

    title = "action"
    parameter_name = "action_type"
