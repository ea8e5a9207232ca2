"""The page of one's own sessions, and what it shares with the administrators' page of a user's."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from audit.models import Kind
from audit.sign_in import record
from tmsdash import sessions
from tmsdash.browsers import browser_name
from tmsdash.models import Session, public_id

SHOWN = 100  # scripts sign in as often as they like
OTHERS = "others"


@dataclass(frozen=True)
class ShownSession:
    """A session as a page shows it."""

    public_id: str
    begun_at: datetime | None
    seen_at: datetime | None
    address: str
    browser: str
    is_this: bool


def shown_sessions(rows: Sequence[Session], request: HttpRequest) -> dict[str, Any]:
    """Return what a template takes to list sessions, the one of the request first."""
    this = public_id(request.session.session_key or "")
    first = sorted(rows, key=lambda row: row.public_id != this)[:SHOWN]
    shown = [
        ShownSession(
            public_id=row.public_id,
            begun_at=row.begun_at,
            seen_at=row.seen_at,
            address=row.address,
            browser=browser_name(row.user_agent),
            is_this=row.public_id == this,
        )
        for row in first
    ]
    return {"sessions": shown, "hidden_count": len(rows) - len(shown)}


def ended_in_words(count: int) -> str:
    """Return the sentence that tells how many sessions were ended."""
    if not count:
        return "Nothing had to be ended: that was over already."
    return "The session is ended." if count == 1 else f"{count:,} sessions are ended."


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def own_sessions(request: HttpRequest) -> HttpResponse:
    """Show where one is signed in, and end what is chosen there."""
    if request.method != "POST":
        return render(request, "sessions.html", shown_sessions(sessions.live_sessions(request.user), request))
    chosen = request.POST.get("end", "")
    if chosen == OTHERS:
        count = sessions.end_sessions(request.user, but=request.session.session_key)
    else:
        count = sessions.end_sessions(request.user, only=[chosen])
    if count:
        record(Kind.SIGNED_OUT, request, request.user.get_username(), at="sessions", sessions=count)
    messages.success(request, ended_in_words(count))
    return redirect("own_sessions")
