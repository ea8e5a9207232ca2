"""*Get a token*: exchanges client id and secret for a token, and leads back to the form with it.

What was typed into the New action form goes along in the page, without a token, and comes back with the new one, which
is sealed. Client id and secret are used once; no attempt is made of it, and nothing of it is audited or kept.
"""

import time
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods

from setactions.limits import read_slot
from setactions.pages.fetched_tokens import seal_fetched
from setactions.pages.forms import NO_SUCH_CHOICE, NewActionForm
from setactions.pages.new_action import TYPED, form_page, kept_form
from setactions.permissions import may_set_action
from setactions.refusal import Refusal
from setactions.tms.clusters import Cluster, cluster_named
from setactions.tms.token_endpoint import clusters_with_endpoint, fetch_token
from setactions.token import Token
from setactions.typed_token import check_is_no_password
from tmsdash.rates import WINDOW_S, Rate
from tmsdash.text import counted
from tmsdash.web.clusters import offer_clusters
from tmsdash.web.kept_forms import Kept, keeps, kept_of

PER_MINUTE = 10  # an endpoint must not be asked from here as often as guessing a secret would take
CARRIED = ("action", "cids", "note", "allow_unusual", "list_name", "list_digest")
LEFT_ALONE = {"data-1p-ignore": True, "data-lpignore": "true", "data-bwignore": "true"}  # by password managers
_asked = Rate("token endpoint")


class GetTokenForm(forms.Form):
    """The cluster, and the client id and secret for its token endpoint."""

    cluster = forms.ChoiceField(label="Cluster", error_messages=NO_SUCH_CHOICE)
    client_id = forms.CharField(
        label="Client id",
        max_length=1000,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}),
        error_messages={"required": "Enter the client id."},
    )
    client_secret = forms.CharField(
        label="Client secret",
        max_length=4000,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"} | LEFT_ALONE),
        help_text="Used for this one request and kept nowhere.",
        error_messages={"required": "Enter the client secret."},
    )

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._user = user
        offer_clusters(self, names=[cluster.name for cluster in clusters_with_endpoint()])

    @sensitive_variables()
    def clean_client_secret(self) -> str:
        secret: str = self.cleaned_data["client_secret"]
        try:
            check_is_no_password(secret, self._user)
        except Refusal as refusal:
            raise forms.ValidationError(refusal.message) from None
        return secret


@keeps(TYPED)
@never_cache
@sensitive_post_parameters()
@sensitive_variables()
@require_http_methods(["GET", "POST"])
def get_token(request: HttpRequest) -> HttpResponse:
    """Ask for client id and secret, and with these for a token; the form is then shown again, filled in."""
    if not clusters_with_endpoint():
        raise Http404
    if not may_set_action(request.user):
        raise PermissionDenied
    kept = kept_of(request) if request.method == "GET" else None  # after signing in again
    carried = _carried(request, kept)
    if "client_id" not in request.POST:  # from the New action form, or by its address
        name = request.POST.get("cluster", "") or (kept.fields["cluster"] if kept else request.GET.get("cluster", ""))
        return _page(request, GetTokenForm(user=request.user, initial={"cluster": name}), carried, kept=kept)
    form = GetTokenForm(request.POST, user=request.user)
    if not form.is_valid():
        return _page(request, form, carried, status=400)
    cluster = cluster_named(form.cleaned_data["cluster"])
    if cluster is None:
        raise Http404
    try:
        token = _fetched(request.user, cluster, form.cleaned_data["client_id"], form.cleaned_data["client_secret"])
    except Refusal as refusal:
        answer = _page(request, form, carried, status=refusal.code, error=refusal.message)
        if refusal.code == 429:
            answer["Retry-After"] = str(WINDOW_S)
        return answer
    fetched = seal_fetched(token, request.user, cluster)
    expiry = f" It expires in {counted(minutes_left(token), 'minute')}." if token.expires_at else ""
    form_with_token = NewActionForm(initial=carried | {"cluster": cluster.name, "fetched": fetched})
    return form_page(request, form_with_token, notice=f"A token for {cluster.name} was fetched.{expiry}")


def minutes_left(token: Token) -> int:
    """Return for how many minutes, rounded down, a token that says when it expires can be used."""
    return max(0, int(((token.expires_at or 0) - time.time()) / 60))


@sensitive_variables()
def _fetched(user: Any, cluster: Cluster, client_id: str, client_secret: str) -> Token:
    if not _asked.take(user.get_username(), PER_MINUTE):
        raise Refusal(429, "cluster", f"You asked for {PER_MINUTE} tokens within a minute. Wait a minute.")
    with read_slot():
        return fetch_token(cluster, client_id, client_secret)


@sensitive_variables()
def _carried(request: HttpRequest, kept: Kept | None) -> dict[str, Any]:
    """Return what was typed into the New action form, but for its token; an uploaded list as text."""
    if kept:
        initial = kept_form(kept).initial
        return {name: initial[name] for name in CARRIED if initial.get(name)}
    if request.method == "GET":
        return {}
    form = NewActionForm(request.POST, request.FILES, user=request.user)
    form.is_valid()  # whatever is wrong is said when the form is sent; but tokens among the ids are taken out
    form.keep_upload()
    carried = {name: form[name].value() or "" for name in CARRIED}
    return {name: value for name, value in carried.items() if value}


def _page(
    request: HttpRequest,
    form: GetTokenForm,
    carried: dict[str, Any],
    *,
    status: int = 200,
    error: str = "",
    kept: Kept | None = None,
) -> HttpResponse:
    context = {"form": form, "carried": carried, "error": error, "kept": kept}
    return render(request, "setactions/get_token.html", context, status=status)
