"""The filters of User Jobs, as they stand in its address."""

from datetime import UTC, date, datetime, time
from typing import Any

from django import forms
from django.conf import settings
from django.db.models import QuerySet
from django.http import QueryDict
from django.urls import reverse
from django.utils.http import urlencode

from audit.models import CID_LENGTH, USER_ID_LENGTH, Action
from jobs.models import Job, JobCustomer
from jobs.selectors import job_for, known_clusters, may_view_all
from tmsdash.text import one_line

CODES = {action.label: action.value for action in Action}


class DayField(forms.DateField):
    """A day, written as browsers send it."""

    def __init__(self, label: str) -> None:
        super().__init__(
            label=label,
            required=False,
            input_formats=["%Y-%m-%d"],
            widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
        )

    def to_python(self, value: Any) -> date | None:
        try:
            return super().to_python(value)
        except forms.ValidationError:  # browsers show nothing of what is no day
            text = one_line(value, 20)
            raise forms.ValidationError(f"{text} is no day. Write year-month-day, such as 2026-02-28.") from None


class JobFilters(forms.Form):
    """What is looked for. After `is_valid()`, `narrow` leaves the jobs that match; `job` is one that its id names."""

    action = forms.ChoiceField(
        required=False,
        choices=[("", "Any action"), *((label, label) for label in CODES)],
        error_messages={"invalid_choice": "There is no such action. Choose one from the list."},
    )
    cluster = forms.ChoiceField(
        required=False,
        error_messages={"invalid_choice": "There is no such cluster. Choose one from the list."},
    )
    since = DayField("From day (UTC)")
    until = DayField("To day (UTC)")
    customer = forms.CharField(
        label="Customer ID",
        required=False,
        max_length=CID_LENGTH,
        error_messages={"max_length": f"A customer id has at most {CID_LENGTH} characters. Give one whole id."},
    )
    user = forms.CharField(
        required=False,
        max_length=USER_ID_LENGTH,
        error_messages={"max_length": f"A user name has at most {USER_ID_LENGTH} characters. Give one whole name."},
    )
    job = forms.UUIDField(
        label="Job id",
        required=False,
        error_messages={"invalid": "This is no job id. Give a whole one, such as it stands on the page of a job."},
    )

    def __init__(self, data: QueryDict, *, viewer: Any) -> None:
        """Take the query of an address that `viewer` asks for."""
        super().__init__(data)
        self._given, self._viewer = data, viewer
        configured = [(name, f"{name} ({origin})") for name, origin in settings.TMS_CLUSTERS.items()]
        gone = [(origin, origin) for origin in known_clusters() if origin not in settings.TMS_CLUSTERS.values()]
        self.fields["cluster"].choices = [("", "Any cluster"), *configured, *gone]  # type: ignore[attr-defined]
        for field in self.fields.values():
            field.widget.attrs |= {"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}

    @property
    def active(self) -> dict[str, str]:
        """The filters that are set, by name, as they were given."""
        return {name: text for name in self.fields if (text := str(self._given.get(name, "")).strip())}

    @property
    def active_in_words(self) -> list[str]:
        """The filters that are set, each with its label, such as "Action: PE-Enable"."""
        return [f"{self[name].label}: {value}" for name, value in self.active.items()]

    def address(self, *, everybody: bool, before: int | None = None) -> str:
        """Return the address of a page with these filters, of everybody's jobs or (without a user) of one's own."""
        query: dict[str, Any] = {name: value for name, value in self.active.items() if everybody or name != "user"}
        if everybody:
            query["whose"] = "all"
        if before is not None:
            query["before"] = before
        return reverse("job_list") + (f"?{urlencode(query)}" if query else "")

    def clean_user(self) -> str:
        user: str = self.cleaned_data["user"]
        if user and user != self._viewer.get_username() and not may_view_all(self._viewer):
            raise forms.ValidationError("You see your own jobs only. Leave this empty.")
        return user

    def clean_job(self) -> Job | None:
        job_id = self.cleaned_data["job"]
        job = job_for(self._viewer, job_id) if job_id else None
        if job_id and job is None:
            raise forms.ValidationError("There is no such job, or it belongs to somebody else.")
        return job

    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        if data.get("since") and data.get("until") and data["since"] > data["until"]:
            self.add_error("until", "This day lies before the first one. Exchange them.")
        for name in self.fields:
            if len(self._given.getlist(name)) > 1:
                self.add_error(name, "The address gives this more than once. Choose one.")
        return data

    def narrow(self, jobs: QuerySet[Job]) -> QuerySet[Job]:
        """Return those of `jobs` that match every filter."""
        wanted = self.cleaned_data
        conditions = {
            "action_code": CODES.get(wanted["action"]),
            "cluster_url": settings.TMS_CLUSTERS.get(wanted["cluster"], wanted["cluster"]),
            "user_id": wanted["user"],
            "created_at__gte": wanted["since"] and datetime.combine(wanted["since"], time.min, UTC),
            "created_at__lte": wanted["until"] and datetime.combine(wanted["until"], time.max, UTC),
            "pk__in": wanted["customer"] and JobCustomer.objects.filter(cid=wanted["customer"]).values("job_id"),
        }
        return jobs.filter(**{name: value for name, value in conditions.items() if value is not None and value != ""})
