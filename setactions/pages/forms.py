"""The New action form: turns what was typed or uploaded into a Submission and a Token."""

from typing import Any

from django import forms
from django.http import QueryDict
from django.views.decorators.debug import sensitive_variables

from audit.choices import Action
from audit.models import NOTE_LENGTH
from setactions.inputs.csv_table import read_list
from setactions.inputs.ids import FIELD, TAKE_DAMAGED, CidList, DamagedIds
from setactions.note import check_given, checked_note
from setactions.payload import Submission, make_submission, wire_name
from setactions.refusal import Refusal
from setactions.tms.clusters import Cluster, all_clusters, cluster_named
from setactions.tms.spellings import find_action
from setactions.token import AMONG_IDS, Token
from setactions.typed_token import typed_token
from tmsdash.tokens import REMOVED, looks_like_token

# Django's own sentence quotes what was submitted, including control characters.
NO_SUCH_CHOICE = {"invalid_choice": "Select one of the available choices."}


def label_of(cluster: Cluster) -> str:
    production = "PRODUCTION: " if cluster.is_production else ""
    return f"{production}{cluster.name} ({cluster.origin})"


class NewActionForm(forms.Form):
    """Cluster, action, token and ids. After `is_valid()` it has a `submission` and a `secret`, which is the token.

    `has_damaged_ids` tells that there is something for `allow_unusual` to take.
    """

    cluster = forms.ChoiceField(label="Cluster", error_messages=NO_SUCH_CHOICE)
    action = forms.ChoiceField(
        label="Action",
        choices=[("", "Choose an action")] + [(a.label, a.label) for a in Action],
        error_messages=NO_SUCH_CHOICE,
    )
    token = forms.CharField(
        label="Bearer token",
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="Used for this action only and never stored.",
        error_messages={"required": "Enter your bearer token for this cluster."},
    )
    cids = forms.CharField(
        label="Customer IDs",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false", "autocapitalize": "off"}),
        help_text="One on each line, or all on one line; or a table with a column named customer_id.",
    )
    csv_file = forms.FileField(
        label="CSV file",
        required=False,
        allow_empty_file=True,  # the reader says what to do about it
        widget=forms.FileInput(attrs={"accept": ".csv,.txt,text/csv,text/plain"}),
        help_text="Instead of pasting: a file with one column, or with several of which one is named customer_id.",
    )
    allow_unusual = forms.BooleanField(label=TAKE_DAMAGED, required=False)
    note = forms.CharField(
        label="Reason or ticket",
        required=False,
        strip=False,
        widget=forms.TextInput(attrs={"maxlength": NOTE_LENGTH, "autocomplete": "off"}),
        help_text="A note on one line. It is kept and shown with the action, and can be searched for.",
    )

    submission: Submission
    secret: Token
    has_damaged_ids = False

    def __init__(self, *args: Any, user: Any = None, **kwargs: Any) -> None:
        """Take what Django's forms take, and the user, with whose password the token is compared."""
        super().__init__(*args, **kwargs)
        self._user = user
        clusters = [(cluster.name, label_of(cluster)) for cluster in all_clusters()]
        self.has_damaged_ids = bool(self.initial.get("allow_unusual"))
        self.fields["cids"].validators = []  # the reader says what is wrong, with its line
        self.fields["cluster"].choices = ([("", "Choose a cluster")] if len(clusters) != 1 else []) + clusters  # type: ignore[attr-defined]

    @sensitive_variables()
    def clean_token(self) -> Token:
        try:
            return typed_token(self.cleaned_data["token"], self._user)
        except Refusal as refusal:
            raise forms.ValidationError(refusal.message) from None

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        cluster = cluster_named(data.get("cluster", ""))
        action = find_action(data.get("action", ""))
        note = self._read_note(cluster, data.get("token"))
        cid_list = self._read_cids(data.get("cids", ""), data.get("csv_file"), cluster, action)
        self.has_damaged_ids |= cid_list is not None and cid_list.allow_unusual
        token: Token | None = data.get("token")
        if token and cid_list and token.is_among(cid_list.cids):
            self.add_error("cids", AMONG_IDS)
        if cluster and cid_list and action and token:
            try:
                self.submission = make_submission(cluster, wire_name(action), cid_list, note)
            except Refusal as refusal:
                self.add_error("cids", refusal.message)
            self.secret = token
        self._hide_misplaced_tokens(token)
        return data

    def _read_note(self, cluster: Cluster | None, token: Token | None) -> str:
        """Return the note; "", with the error added, if it cannot be one, or is missing where there must be one."""
        try:
            note = checked_note(self.cleaned_data.get("note", ""), token)
            check_given(note, [cluster] if cluster else [])
        except Refusal as refusal:
            self.add_error("note", refusal.message)
            return ""
        return note

    def _read_cids(self, text: str, upload: Any, cluster: Cluster | None, action: Action | None) -> CidList | None:
        """Return the ids from whichever of the two was given; None, with the error added, if that fails."""
        if text.strip() and upload:
            self.add_error("csv_file", "Either paste the ids or upload a file, not both.")
            return None
        try:
            content = upload.read() if upload else text.encode(errors="surrogatepass")
            allow_unusual = self.cleaned_data["allow_unusual"]
            return read_list(content, cluster=cluster, action=action, allow_unusual=allow_unusual)
        except Refusal as refusal:
            self.has_damaged_ids = isinstance(refusal, DamagedIds)
            token = self.cleaned_data.get("token")  # it may be where a header is expected
            for message in refusal.errors[FIELD]:
                self.add_error("csv_file" if upload else "cids", token.cut_from_name(message) if token else message)
            return None

    @sensitive_variables()
    def _hide_misplaced_tokens(self, token: Token | None) -> None:
        """Remove a token that was pasted among the ids or into the note before the form is shown again."""
        note = self.data.get("note", "")
        if isinstance(self.data, QueryDict) and (looks_like_token(note) or (token and token.is_within(note))):
            self.data = self.data.copy()
            self.data["note"] = ""
        text = self.data.get("cids", "")
        if not looks_like_token(text) and (token is None or token.cut_from(text) == text):
            return  # line by line, millions of lines would take seconds
        lines = [REMOVED if looks_like_token(line) else line for line in text.split("\n")]
        if token:
            lines = [REMOVED if token.is_among([line.strip()]) else token.cut_from_name(line) for line in lines]
        self.data = {**self.data.dict(), "cids": "\n".join(lines)} if isinstance(self.data, QueryDict) else self.data
