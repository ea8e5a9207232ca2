"""The filters of User Jobs, of Batches and of Activity, as they are in the addresses of these lists."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.http import QueryDict
from django.utils.http import urlencode

from audit.choices import Action
from audit.models import CID_LENGTH, USER_ID_LENGTH
from jobs.batches.selectors import known_batch_clusters
from jobs.models import Batch, Job
from jobs.selectors import job_for, known_clusters, may_view_all_jobs
from tmsdash.days import first_moment, last_moment
from tmsdash.text import one_line
from tmsdash.web.chips import Chip
from tmsdash.web.clusters import cluster_choices
from tmsdash.web.day_field import DayField
from tmsdash.web.day_zone import DAYS, NoZoneError, with_zone, zone_of_days
from tmsdash.web.display import UTC
from tmsdash.web.page_addresses import page_address

CODES = {action.label: action.value for action in Action}


class KnownChoiceField(forms.ChoiceField):
    """One of the choices of a list, or none of them."""

    def __init__(self, thing: str, choices: Iterable[tuple[str, Any]] = ()) -> None:
        self.any_of_them = ("", f"Any {thing}")
        messages = {"invalid_choice": f"There is no such {thing}. Choose one from the list."}
        super().__init__(required=False, choices=[self.any_of_them, *choices], error_messages=messages)

    def __deepcopy__(self, memo: dict[int, Any]) -> "KnownChoiceField":
        """Return the field for another form. The choices are never changed, but replaced, so they need no copies."""
        return super(forms.ChoiceField, self).__deepcopy__(memo)


class CustomerField(forms.CharField):
    """Exactly one customer id."""

    def __init__(self) -> None:
        message = f"A customer id has at most {CID_LENGTH} characters. Give one whole id."
        super().__init__(
            label="Customer ID", required=False, max_length=CID_LENGTH, error_messages={"max_length": message}
        )


class ListFilters(forms.Form):
    """What to look for in a list of one's own or everybody's rows: after `is_valid()`, its `conditions`."""

    url_name: str  # of the list

    action = KnownChoiceField("action", [(label, label) for label in CODES])
    cluster = KnownChoiceField("cluster")
    since = DayField("From day")
    until = DayField("To day")
    user = forms.CharField(
        required=False,
        max_length=USER_ID_LENGTH,
        error_messages={"max_length": f"A user name has at most {USER_ID_LENGTH} characters. Give one whole name."},
    )

    def __init__(self, data: QueryDict, *, viewer: Any) -> None:
        """Take the query of an address, and who asks for it."""
        super().__init__(data)
        self._given, self._viewer = data, viewer
        self.zone, self._zone_problem = _zone_of(data)
        for name in DAYS:
            self.fields[name].label = f"{self.fields[name].label} ({self.zone})"
        gone = [(origin, origin) for origin in self.known_clusters() if origin not in settings.TMS_CLUSTERS.values()]
        cluster: Any = self.fields["cluster"]
        cluster.choices = [cluster.any_of_them, *cluster_choices(), *gone]
        for field in self.fields.values():
            field.widget.attrs |= {"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}

    def known_clusters(self) -> list[str]:
        """Return the origin of every cluster that has rows in the list."""
        raise NotImplementedError

    @cached_property
    def active(self) -> dict[str, str]:
        """The filters that are set, by name, with their text."""
        return {name: text for name in self.fields if (text := str(self._given.get(name, "")).strip())}

    def chips(self, *, everybody: bool) -> list[Chip]:
        """Return the filters that are set, each with its label, such as "Action: PE-Enable"."""
        return [
            Chip(f"{self[name].label}: {self._shown(name, value)}", self.address(everybody=everybody, **{name: ""}))
            for name, value in self.active.items()
        ]

    def _shown(self, name: str, value: str) -> str:
        choices = dict(getattr(self.fields[name], "choices", ()))
        return one_line(str(choices.get(value, value)))

    def address(self, *, everybody: bool, **changes: Any) -> str:
        """Return the address of a page with these filters, of everybody's rows, or of one's own (without `user`).

        `changes` are other values, "" for none, and where in the list the page begins.
        """
        own = {name: value for name, value in self.active.items() if name != "user"}
        query = (self.active | {"whose": "all"} if everybody else own) | changes
        query = self.with_zone({name: value for name, value in query.items() if value != ""})
        return page_address(self.url_name) + (f"?{urlencode(query)}" if query else "")

    def with_zone(self, query: dict[str, Any]) -> dict[str, Any]:
        """Return some of the filters with the zone of the days among them, without which they mean days of UTC."""
        return with_zone(query, self.zone)

    def may_view_all(self) -> bool:
        """Tell whether the viewer sees everybody's rows."""
        return may_view_all_jobs(self._viewer)

    def clean_user(self) -> str:
        user: str = self.cleaned_data["user"]
        if user and user != self._viewer.get_username() and not self.may_view_all():
            raise forms.ValidationError("You can see only your own. Leave this empty.")
        return user

    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        if data.get("since") and data.get("until") and data["since"] > data["until"]:
            self.add_error("until", "This day is before the first one. Swap them.")
        if self._zone_problem:
            self.add_error(next(name for name in DAYS if name in self.active), self._zone_problem)
        for name in self.fields:
            if len(self._given.getlist(name)) > 1:
                self.add_error(name, "The address gives this more than once. Choose one.")
        return data

    def conditions(self, *, everybody: bool) -> dict[str, Any]:
        """Return the conditions on rows as a query takes them: on everybody's rows, or on the viewer's own."""
        own = {} if everybody else {"user_id": self._viewer.get_username()}
        return {name: value for name, value in self._conditions().items() if value is not None and value != ""} | own

    def _conditions(self) -> dict[str, Any]:
        """Return a condition for each filter; those that are None or empty do not count."""
        data, zone = self.cleaned_data, ZoneInfo(self.zone)
        return {
            "action_code": CODES.get(data["action"]),
            "cluster_url": settings.TMS_CLUSTERS.get(data["cluster"], data["cluster"]),
            "user_id": data["user"],
            "created_at__gte": data["since"] and first_moment(data["since"], zone),
            "created_at__lte": data["until"] and last_moment(data["until"], zone),
        }


def _zone_of(data: QueryDict) -> tuple[str, str]:
    """Return the name of the zone of an address's days, and what is wrong with it; "" if nothing is."""
    try:
        return zone_of_days(data.dict()), ""
    except NoZoneError as error:
        return UTC, str(error)


class JobFilters(ListFilters):
    """The filters of User Jobs; `job` finds a single one by its id. Those of a `customer` are looked for apart."""

    url_name = "job_list"

    customer = CustomerField()
    job = forms.UUIDField(
        label="Job id",
        required=False,
        error_messages={"invalid": "This is not a job id. Give a whole one, as a job's page shows it."},
    )

    def known_clusters(self) -> list[str]:
        return known_clusters()

    def clean_job(self) -> Job | None:
        job_id = self.cleaned_data["job"]
        job = job_for(self._viewer, job_id) if job_id else None
        if job_id and job is None:
            raise forms.ValidationError("There is no such job, or it belongs to somebody else.")
        return job


class BatchFilters(ListFilters):
    url_name = "batch_list"

    state = KnownChoiceField("state", Batch.State.choices)

    def known_clusters(self) -> list[str]:
        return known_batch_clusters()

    def _conditions(self) -> dict[str, Any]:
        return super()._conditions() | {"state": self.cleaned_data["state"]}
