"""The page to sign in, as every answer that needs it shows it, with what waits for its user until then."""

from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.utils.http import urlencode

from audit.accounts.forms import SignInForm
from tmsdash.web.kept_forms import AUTHOR, SEALED, author_of, belongs_to

TEMPLATE = "accounts/login.html"
LATE = "late"
LIMITS = {"idle_minutes": settings.SESSION_IDLE_S // 60, "max_hours": settings.SESSION_MAX_S // 3600}
_late = signing.Signer(salt="audit.accounts.late")


def sign_in_page(
    request: HttpRequest, *, next_address: str, kept: str = "", late: str = "", problem: str = "", status: int = 401
) -> HttpResponse:
    """Ask somebody to sign in whose request was not carried out.

    `kept` is the form that comes back afterwards, sealed, and `late` what `late_mark` made; `problem` says what else is
    wrong.
    """
    waiting = {SEALED: kept, LATE: late, "problem": problem, "address": _address(request, kept)}
    context = {"form": SignInForm(request), "next": next_address} | LIMITS | waiting | other_way_in(next_address, late)
    return render(request, TEMPLATE, context, status=status)


def other_way_in(next_address: str, late: str) -> dict[str, str]:
    """Return what the page needs to offer single sign-on: its name and its address; nothing if there is none."""
    if not settings.OIDC_ISSUER_URL:
        return {}
    query = {name: value for name, value in (("next", next_address), (LATE, late)) if value}
    return {"provider": settings.OIDC_NAME, "provider_address": f"{reverse('oidc')}?{urlencode(query)}".rstrip("?")}


def late_mark(next_address: str) -> str:
    """Return what proves that something posted came too late, and that `next_address` is where its user goes next."""
    return _late.signature(next_address)


def came_late(given: QueryDict, next_address: str) -> bool:
    """Tell whether the form to sign in, or its address, has the mark for where its user goes next."""
    return constant_time_compare(given.get(LATE, ""), _late.signature(next_address))


def waiting_for(request: HttpRequest) -> dict[str, Any]:
    """Return what the form to sign in carries, for showing it again; nothing that no page of ours made."""
    given = request.POST if request.method == "POST" else request.GET
    kept = request.POST.get(SEALED, "")
    kept = kept if kept and belongs_to(kept, author_of(request)) else ""
    late = given.get(LATE, "") if came_late(given, given.get("next", "")) else ""
    return {SEALED: kept, LATE: late, "address": _address(request, kept)}


def _address(request: HttpRequest, kept: str) -> str:
    """Return where the form to sign in is posted to: with whose page it is, a long one is received."""
    return f"{reverse('login')}?{urlencode({AUTHOR: request.GET[AUTHOR]})}" if kept else reverse("login")
