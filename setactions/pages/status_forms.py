"""What the status page is asked by its address, and the lists and answers that are given to it."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from django import forms
from django.conf import settings
from django.http import QueryDict
from django.urls import reverse
from django.utils.http import urlencode

from audit.choices import Action
from audit.models import CID_LENGTH
from jobs.batches.selectors import batch_for, cids_of_batch
from jobs.live.codes import NO_ACTION, UNREAD_IN_WORDS, UNREADABLE, state_name
from jobs.live.confirmations import Basis, customers_shown
from jobs.live.lists import list_for
from jobs.live.states import KEPT
from jobs.selectors import all_cids_of, job_for
from setactions.inputs.csv_table import read_list
from setactions.inputs.ids import FIELD
from setactions.live.listing import SORTS, UNREAD, Wanted
from setactions.refusal import Refusal
from setactions.tms.clusters import Cluster
from tmsdash.db import clock
from tmsdash.downloads import IncompleteError
from tmsdash.tokens import without_web_tokens
from tmsdash.web.utc_field import UtcTimeField

_STATES = [
    *((str(code), state_name(code)) for code in (*Action.values, NO_ACTION, UNREADABLE)),
    (UNREAD, UNREAD_IN_WORDS),
]
_SELECTIONS = ("job", "batch", "list")
_BASES = {
    "since": "as read since it was accepted",
    "before": "as read before it was accepted",
    "given": "as given in an answer",
}
_GONE = {
    "job": "There is no such job, or it belongs to somebody else.",
    "batch": "There is no such batch, or it belongs to somebody else.",
    "list": "This list is not kept any more. Paste it again.",
}
_TEXT = {"spellcheck": "false", "autocapitalize": "off", "rows": 6}


class StatusFilters(forms.Form):
    """Which customers of a cluster are shown: those of a job, a batch or a list, in one state, or found by their ids.

    Of a job, `basis` chooses those whose states are known in this way, see jobs.live.confirmations. After `is_valid()`
    it has the `cids` of a selection, None for the whole cluster, and what is `wanted` of them.
    """

    q = forms.CharField(label="Customer ID contains", required=False, max_length=CID_LENGTH)
    state = forms.CharField(label="State", required=False, max_length=16, widget=forms.Select())
    job = forms.UUIDField(label="Job id", required=False, error_messages={"invalid": "This is not a job id."})
    batch = forms.UUIDField(label="Batch id", required=False, error_messages={"invalid": "This is not a batch id."})
    action = forms.TypedChoiceField(  # of a batch only those whom TMS accepted for it
        required=False, coerce=int, choices=[("", ""), *Action.choices], widget=forms.HiddenInput()
    )
    list = forms.UUIDField(required=False, widget=forms.HiddenInput(), error_messages={"invalid": _GONE["list"]})
    basis = forms.ChoiceField(required=False, choices=[("", ""), *_BASES.items()], widget=forms.HiddenInput())
    sort = forms.ChoiceField(
        required=False, choices=[("", "")] + [(name, name) for name in SORTS], widget=forms.HiddenInput()
    )

    def __init__(self, data: QueryDict, *, viewer: Any, cluster: Cluster) -> None:
        """Take the query of an address, and who asks for customers of which cluster."""
        super().__init__(data)
        self._given, self._viewer, self._cluster = data, viewer, cluster
        self.cids: Sequence[str] | None = None
        shown = data.get("state", "")
        is_other = shown and shown not in dict(_STATES) and Wanted.parse(shown)
        others = [(shown, state_name(int(shown)))] if is_other else []
        self.fields["state"].widget.choices = [("", "any"), *_STATES, *others]
        for field in self.fields.values():
            field.widget.attrs |= {"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}

    @property
    def active(self) -> dict[str, str]:
        """What is set, by name, with its text."""
        return {name: text for name in self.fields if (text := str(self._given.get(name, "")).strip())}

    @property
    def narrows(self) -> bool:
        """Whether anything is left out."""
        return bool(self.active.keys() - {"sort"})

    @property
    def selection(self) -> str:
        """Whose customers they are, in words."""
        if self["list"].value():
            return "customers of your list"
        for name in ("job", "batch"):
            if name in self.active:
                if name == "batch":
                    action = dict(_STATES).get(self.active.get("action", ""))
                    return f"customers of batch {self.active[name]}{f' accepted for {action}' if action else ''}"
                basis = _BASES.get(self.active.get("basis", ""), "")
                return f"customers of {name} {self.active[name]}{basis and f', {basis}'}"
        return f"customers of {self._cluster.name}"

    def address(self, route: str = "live_status", *, without: tuple[str, ...] = (), **place: Any) -> str:
        """Return the address of a page of this cluster with these filters, but for what `place` gives otherwise."""
        query = {name: value for name, value in (self.active | place).items() if value != "" and name not in without}
        return reverse(route, args=[self._cluster.name]) + (f"?{urlencode(query)}" if query else "")

    @cached_property
    def wanted(self) -> Wanted:
        data = self.cleaned_data
        return Wanted(data["state"], data["q"], data["sort"])

    def clean_state(self) -> str:
        state: str = self.cleaned_data["state"]
        if Wanted.parse(state) is None:
            raise forms.ValidationError("Select one of the states.")
        return state

    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        given = [name for name in _SELECTIONS if data.get(name)]
        if len(given) > 1:
            self.add_error(given[0], "Give a job, a batch or a list, not several of them.")
        elif data.get("basis") and given != ["job"]:
            self.add_error("job", "Give the job whose customers are meant.")
        elif given:
            try:
                self.cids = self._cids(given[0], data[given[0]], data.get("basis", ""))
            except IncompleteError as error:
                self.add_error(given[0], str(error))
            else:
                if self.cids is None:
                    self.add_error(given[0], _GONE[given[0]])
        return data

    def _cids(self, name: str, key: uuid.UUID, basis: str) -> Sequence[str] | None:
        """Return the ids of a selection on this cluster; None if there is none that the viewer may see."""
        if name == "list":
            return list_for(self._viewer, key)
        if name == "batch":
            batch = batch_for(self._viewer, key)
            action = self.cleaned_data.get("action") or None
            return cids_of_batch(batch, self._cluster.origin, accepted_for=action) if batch else None
        job = job_for(self._viewer, key)
        if job and job.cluster_url != self._cluster.origin:
            return []
        if job and basis:
            return [cid for cid, part in customers_shown(job) if part.basis == Basis[basis.upper()]]
        return all_cids_of(job) if job else None


class PastedForm(forms.Form):
    """A form with a long text, which is shown again without what looks like a token."""

    def _hide_tokens(self, name: str) -> None:
        self.data = {**self.data.dict(), name: without_web_tokens(self.data.get(name, ""))}  # type: ignore[attr-defined]


class ListForm(PastedForm):
    """A list of customers to look at. After `is_valid()` it has the `ids`."""

    cids = forms.CharField(
        label="Customer IDs",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs=_TEXT),
        help_text="One on each line, or all on one line; or a table with a column named customer_id.",
    )
    csv_file = forms.FileField(label="Or a CSV file", required=False, allow_empty_file=True)

    def clean(self) -> dict[str, Any]:
        text, upload = self.cleaned_data.get("cids", ""), self.cleaned_data.get("csv_file")
        if text.strip() and upload:
            raise forms.ValidationError("Either paste the ids or upload a file, not both.")
        try:
            content = upload.read() if upload else text.encode(errors="surrogatepass")
            self.ids = read_list(content, allow_unusual=True).cids
        except Refusal as refusal:
            for message in refusal.errors[FIELD]:
                self.add_error("csv_file" if upload else "cids", message)
            self._hide_tokens("cids")
        return self.cleaned_data


class AnswerForm(PastedForm):
    """An answer to `get/action` that its user read elsewhere. After `is_valid()` it has its `content`."""

    answer = forms.CharField(
        label="Answer",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs=_TEXT),
        help_text='The whole answer to get/action?cid=ALL: {"<customer id>": {"action_code": 2, …}, …}',
    )
    answer_file = forms.FileField(label="Or a file with it", required=False, allow_empty_file=True)
    read_at = UtcTimeField("Read at", help_text="When it was read from TMS; empty is now.")
    may_be_fewer = forms.BooleanField(label="Take it even if it lists far fewer customers than before", required=False)

    def clean_read_at(self) -> datetime:
        now = clock.now("jobs")
        read_at: datetime = self.cleaned_data["read_at"] or now
        if read_at > now:
            raise forms.ValidationError("This time is still to come. Say in UTC when the answer was read.")
        if read_at < now - KEPT:
            raise forms.ValidationError(f"Readings are kept for {KEPT.days} days. Give a newer answer.")
        return read_at

    def clean(self) -> dict[str, Any]:
        text, upload = self.cleaned_data.get("answer", ""), self.cleaned_data.get("answer_file")
        self._hide_tokens("answer")
        if not text.lstrip().startswith("{"):  # no answer, but perhaps the command that read it, with its token
            self.data = {**self.data, "answer": ""}
        if bool(text.strip()) == bool(upload):
            raise forms.ValidationError("Either paste the answer or upload a file with it.")
        self.content = upload.read() if upload else text.encode(errors="surrogatepass")
        if len(self.content) > settings.TMS_MAX_READ_BYTES:
            self.add_error("answer_file" if upload else "answer", "The answer is larger than TMS_MAX_READ_BYTES.")
        return self.cleaned_data
