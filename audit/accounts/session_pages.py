"""The page of one's own sessions, and what it shares with the administrators' page of a user's sessions."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.generic import FormView

from audit.accounts.forms import EndSessionsForm
from audit.accounts.own_password import AsksForPassword
from audit.accounts.sign_in import record
from audit.choices import Kind
from tmsdash.models import Session, public_id
from tmsdash.web import sessions
from tmsdash.web.browsers import browser_name

SHOWN = 100  # scripts sign in as often as they like
OTHERS = "others"


class ShownSession(NamedTuple):
    row: Session
    browser: str
    is_this: bool
    """Whether the page is shown in this very session."""


def shown_sessions(rows: Sequence[Session], request: HttpRequest) -> dict[str, Any]:
    """Return what a template needs to list sessions, that of the request first."""
    current = public_id(request.session.session_key or "")
    first = sorted(rows, key=lambda row: row.public_id != current)[:SHOWN]
    shown = [ShownSession(row, browser_name(row.user_agent), row.public_id == current) for row in first]
    return {"sessions": shown, "hidden_count": len(rows) - len(shown)}


def ended_in_words(count: int) -> str:
    """Return the sentence that says how many sessions were ended."""
    if not count:
        return "There was nothing to end: it was already over."
    return "The session was ended." if count == 1 else f"{count:,} sessions were ended."


@method_decorator(never_cache, name="dispatch")
class OwnSessions(AsksForPassword, FormView):  # type: ignore[type-arg]
    """The page that shows where users are signed in, and ends what they choose there, for their password."""

    form_class = EndSessionsForm
    template_name = "accounts/sessions.html"
    success_url = reverse_lazy("own_sessions")
    asked_field = "password"
    at = "sessions"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        shown = shown_sessions(sessions.live_sessions(self.request.user), self.request)
        return super().get_context_data(**kwargs) | shown

    def form_valid(self, form: EndSessionsForm) -> HttpResponse:
        """End the chosen session, or all others; to end this one is to sign out."""
        user, key, chosen = self.request.user, self.request.session.session_key or "", form.cleaned_data["end"]
        self.forget_failures()
        selection: dict[str, Any] = {"but": key} if chosen == OTHERS else {"only": [chosen]}
        count = sessions.end_sessions(user, **selection)
        if count:
            record(Kind.SIGNED_OUT, self.request, user.get_username(), at=self.at, sessions=count)
        if chosen == public_id(key):
            sessions.end(self.request)
            return redirect("login")
        messages.success(self.request, ended_in_words(count))
        return super().form_valid(form)
