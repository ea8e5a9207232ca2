"""The New action form: turns what was typed or uploaded into a Submission and a Token."""

from typing import Any

from django import forms
from django.views.decorators.debug import sensitive_variables

from audit.choices import Action
from audit.models import NOTE_LENGTH
from setactions.inputs.csv_table import read_list
from setactions.inputs.ids import FIELD, TAKE_DAMAGED, CidList, DamagedIds
from setactions.note import check_given, checked_note, required_in_words
from setactions.pages.fetched_tokens import fetched_token
from setactions.pages.given_lists import GivenList, digest_of, given_list
from setactions.payload import Submission, make_submission, wire_name
from setactions.refusal import Refusal
from setactions.tms.clusters import Cluster, all_clusters, cluster_named
from setactions.tms.spellings import find_action
from setactions.token import AMONG_IDS, Token
from setactions.typed_token import typed_token
from tmsdash.tokens import REMOVED, looks_like_token
from tmsdash.web.clusters import offer_clusters

# Django's own sentence quotes what was submitted, including control characters.
NO_SUCH_CHOICE = {"invalid_choice": "Select one of the available choices."}


def choose_first() -> list[tuple[str, str]]:
    """Return the empty choice that stands before several clusters, so that none is chosen by accident."""
    return [("", "Choose a cluster")] if len(all_clusters()) != 1 else []


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
        required=False,  # one that was fetched takes its place
        widget=forms.PasswordInput,  # drawn by partials/_token_field.html
        help_text="Used for this action only and never stored.",
    )
    fetched = forms.CharField(required=False, widget=forms.HiddenInput)
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

    # The file that the text of `cids` came from, if it came back with the form, see setactions.pages.given_lists.
    list_name = forms.CharField(required=False, strip=False, widget=forms.HiddenInput)
    list_digest = forms.CharField(required=False, widget=forms.HiddenInput)

    submission: Submission
    secret: Token
    file_name = ""
    has_damaged_ids = False

    def __init__(self, *args: Any, user: Any = None, **kwargs: Any) -> None:
        """Take what Django's forms take, and the user, with whose password the token is compared."""
        super().__init__(*args, **kwargs)
        self._user = user
        self._given: GivenList | None = None
        self.has_damaged_ids = bool(self.initial.get("allow_unusual"))
        self.fields["note"].help_text += required_in_words()
        self.fields["cids"].validators = []  # the reader says what is wrong, with its line
        offer_clusters(self, first=choose_first())

    @sensitive_variables()
    def clean_token(self) -> Token | None:
        text = self.cleaned_data["token"]
        if not text.strip() and self.data.get("fetched"):
            return None
        try:
            return typed_token(text, self._user)
        except Refusal as refusal:
            raise forms.ValidationError(refusal.message) from None

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        cluster = cluster_named(data.get("cluster", ""))
        action = find_action(data.get("action", ""))
        token: Token | None = data.get("token") or self._fetched_token(cluster)
        note = self._read_note(cluster, token)
        cid_list = self._read_cids(cluster, action, token)
        self.has_damaged_ids |= cid_list is not None and cid_list.allow_unusual
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

    @sensitive_variables()
    def _fetched_token(self, cluster: Cluster | None) -> Token | None:
        """Return the token that *Get a token* put into the form; None, with the error added, if it cannot be used."""
        sealed = self.cleaned_data.get("fetched")
        if not sealed or cluster is None or "token" in self.errors:
            return None
        try:
            return fetched_token(sealed, self._user, cluster)
        except Refusal as refusal:
            self.add_error("token", refusal.message)
            self._show_instead(fetched="")
            return None

    def _read_note(self, cluster: Cluster | None, token: Token | None) -> str:
        """Return the note; "", with the error added, if it cannot be one, or is missing where there must be one."""
        try:
            note = checked_note(self.cleaned_data.get("note", ""), token)
            check_given(note, [cluster] if cluster else [])
        except Refusal as refusal:
            self.add_error("note", refusal.message)
            return ""
        return note

    def _read_cids(self, cluster: Cluster | None, action: Action | None, token: Token | None) -> CidList | None:
        """Return the ids from whichever was given; None, with the error added, if that fails."""
        data = self.cleaned_data
        names = data.get("list_name", ""), data.get("list_digest", "")
        try:
            given = given_list(data.get("cids", ""), data.get("csv_file"), *names)
        except Refusal as refusal:
            self.add_error("csv_file", refusal.message)
            return None
        self.file_name, self._given = given.file_name, given
        try:
            allow_unusual = self.cleaned_data["allow_unusual"]
            return read_list(given.content, cluster=cluster, action=action, allow_unusual=allow_unusual)
        except Refusal as refusal:
            self.has_damaged_ids = isinstance(refusal, DamagedIds)
            field = "csv_file" if given.is_upload and given.as_text is None else "cids"
            for message in refusal.errors[FIELD]:  # the token may be where a header is expected
                self.add_error(field, token.cut_from_name(message) if token else message)
            return None

    def keep_upload(self) -> None:
        """Put what was uploaded into the field for ids, for a form that is shown again: a browser forgets the file."""
        text = self._given.as_text if self._given else None
        if text is None:
            return
        self._show_instead(cids=text, list_name=self.file_name, list_digest=digest_of(text))
        self._hide_misplaced_tokens(self.cleaned_data.get("token"))

    @sensitive_variables()
    def _hide_misplaced_tokens(self, token: Token | None) -> None:
        """Remove a token that was pasted among the ids or into the note before the form is shown again."""
        note, text = self.data.get("note", ""), self.data.get("cids", "")
        if looks_like_token(note) or (token and token.is_within(note)):
            self._show_instead(note="")
        if not looks_like_token(text) and (token is None or token.cut_from(text) == text):
            return  # line by line, millions of lines would take seconds
        lines = [REMOVED if looks_like_token(line) else line for line in text.split("\n")]
        if token:
            lines = [REMOVED if token.is_among([line.strip()]) else token.cut_from_name(line) for line in lines]
        self._show_instead(cids="\n".join(lines))

    def _show_instead(self, **texts: str) -> None:
        """Let the form show other texts than those that it was given."""
        given: Any = self.data
        shown = given.copy()
        for name, text in texts.items():
            shown[name] = text
        self.data = shown
