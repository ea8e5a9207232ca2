"""The form that begins an app status run."""

from typing import Any

from django import forms
from django.conf import settings
from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.http import urlencode
from django.views.decorators.debug import sensitive_variables

from jobs.live.codes import UNREAD_IN_WORDS, state_name
from jobs.selectors import job_for
from setactions.app_status.selection import Selection, checked, customers_listed, customers_of_job
from setactions.pages.forms import NO_SUCH_CHOICE, choose_first
from setactions.pages.status import listing_of
from setactions.pages.status_forms import StatusFilters
from setactions.refusal import Refusal
from setactions.tms.clusters import Cluster, cluster_at, cluster_named
from setactions.token import AMONG_IDS, Token
from setactions.typed_token import typed_token
from tmsdash.tokens import looks_like_token
from tmsdash.web.clusters import offer_clusters

FILTERS = ("job", "batch", "action", "list", "basis", "state", "q")
NO_SUCH_JOB = "There is no such job, or it belongs to somebody else."


class StartForm(forms.Form):
    """Whose apps are read, and with what token. After `is_valid()` it has a `selection` and a `secret`, the token.

    Other pages send a `job`, or a `cluster` with the filters of its page of live states, in the place of a pasted list.
    """

    job = forms.UUIDField(required=False, widget=forms.HiddenInput, error_messages={"invalid": NO_SUCH_JOB})
    batch = forms.CharField(required=False, widget=forms.HiddenInput)
    action = forms.CharField(required=False, widget=forms.HiddenInput)
    list = forms.CharField(required=False, widget=forms.HiddenInput)
    basis = forms.CharField(required=False, widget=forms.HiddenInput)
    state = forms.CharField(required=False, widget=forms.HiddenInput)
    q = forms.CharField(required=False, widget=forms.HiddenInput)
    cluster = forms.ChoiceField(label="Cluster", required=False, error_messages=NO_SUCH_CHOICE)
    token = forms.CharField(
        label="Bearer token",
        widget=forms.PasswordInput,  # drawn by partials/_token_field.html
        help_text="For this cluster. Kept in memory while the run goes on, and stored nowhere.",
        error_messages={"required": "Enter your bearer token for this cluster."},
    )
    cids = forms.CharField(
        label="Customer IDs",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false", "autocapitalize": "off"}),
        help_text="One on each line, or all on one line.",
    )

    selection: Selection
    secret: Token

    def __init__(self, data: QueryDict | None = None, *, user: Any, initial: dict[str, str] | None = None) -> None:
        """Take what was posted, if anything was, by whom; or show what was typed before, as `initial`."""
        super().__init__(data, initial=initial)
        self._user = user
        offer_clusters(self, first=choose_first())
        self.fields["cids"].validators = []  # the reader says what is wrong, with its line

    @property
    def is_for_list(self) -> bool:
        """Whether the customers are those of a pasted list."""
        return not any(self.data.get(name) or self.initial.get(name) for name in FILTERS)

    @sensitive_variables()
    def clean_token(self) -> Token:
        try:
            return typed_token(self.cleaned_data["token"], self._user)
        except Refusal as refusal:
            raise forms.ValidationError(refusal.message) from None

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        try:
            selection = self._select() if "job" not in self.errors else None
        except Refusal as refusal:
            for message in [message for messages in refusal.errors.values() for message in messages]:
                self.add_error("cids" if self.is_for_list else None, message)
            selection = None
        token: Token | None = data.get("token")
        if token and selection and token.is_among(selection.cids):
            self.add_error("cids", AMONG_IDS)
        given = dict(self.data.items())
        held = (name for name, text in given.items() if looks_like_token(text) or (token and token.is_among([text])))
        self.data = given | dict.fromkeys(held, "")  # shown again, the token would be in the page
        if token and selection:
            self.selection, self.secret = selection, token
        return data

    def _select(self) -> Selection | None:
        data = self.cleaned_data
        cluster = cluster_named(data.get("cluster", ""))
        if data.get("job"):
            job = job_for(self._user, data["job"])
            if job is None:
                raise Refusal(404, "job", NO_SUCH_JOB)
            cluster = cluster_at(job.cluster_url)
            if not any(data.get(name) for name in FILTERS if name != "job"):
                return customers_of_job(job)
        if cluster is None:
            if "cluster" not in self.errors:
                self.add_error("cluster", "Choose a cluster.")
            return None
        return customers_listed(cluster, data.get("cids", "")) if self.is_for_list else self._filtered(cluster)

    def _filtered(self, cluster: Cluster) -> Selection:
        """Select those whom the page of live states shows under the same filters."""
        filters = StatusFilters(
            QueryDict(urlencode({name: self.data.get(name, "") for name in FILTERS})),
            viewer=self._user,
            cluster=cluster,
        )
        if not filters.is_valid():
            raise Refusal(400, "cids", " ".join(str(error) for errors in filters.errors.values() for error in errors))
        wanted, listing = filters.wanted, listing_of(cluster, filters)
        matching: Any = listing.matching(wanted) if listing else []
        words = [filters.selection]
        if wanted.state:
            words.append(UNREAD_IN_WORDS if wanted.code is None else f"in state {state_name(wanted.code)}")
        if wanted.search:
            words.append(f"with {wanted.search} in their ids")
        if isinstance(matching, QuerySet):  # of a whole cluster, of which there may be too many
            cids, count = matching.values_list("cid", flat=True), matching.count()
        else:
            cids, count = matching, len(matching)
        return checked(Selection(cluster, [*cids[: settings.TMS_APP_STATUS_MAX]], ", ".join(words)), count)
