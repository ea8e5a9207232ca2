"""The pages of single sign-on: the way to the provider, the way back, and what is said after signing out."""

import logging
import secrets
from typing import Any
from urllib.parse import urlencode

from allauth.socialaccount.providers.oauth2.utils import generate_code_challenge
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import User
from django.db import Error as AnyDatabaseError
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_safe

from audit.accounts.oidc.identities import Identity, RefusedError, account_of
from audit.accounts.oidc.provider import Provider, RejectedError, UnreachableError, sign_out_address
from audit.accounts.sign_in import BACKEND, CAME_LATE, OIDC, SignIn, record
from audit.accounts.sign_in_page import LATE, came_late, sign_in_page
from audit.actors import actor_of
from audit.choices import Kind
from tmsdash.accounts import recorded_name
from tmsdash.rates import Rate
from tmsdash.seals import BrokenSealError, is_fresh, open_seal, seal
from tmsdash.text import one_line
from tmsdash.web import sessions
from tmsdash.web.addresses import throttled_address
from tmsdash.web.cookies import cookie_name
from tmsdash.web.errors import error_response

logger = logging.getLogger(__name__)

PER_MINUTE = 30  # sign-ins from one address that are begun, and as many that are answered
STALE = "This sign-in was begun in another browser or window, or too long ago. Sign in once more."
_USE = "audit.accounts.oidc"
_begun, _answered = Rate("oidc begun"), Rate("oidc answered")


@login_not_required
@never_cache
@require_safe
def begin(request: HttpRequest) -> HttpResponse:
    """Lead to the provider, with what its answer has to match in a sealed cookie."""
    _assert_configured()
    view = SignIn()
    view.setup(request)
    address = view.get_redirect_url()
    if request.user.is_authenticated:
        return redirect(address or settings.LOGIN_REDIRECT_URL)
    if not _begun.take(throttled_address(request), PER_MINUTE):
        return _too_many(request)
    challenge = generate_code_challenge()
    kept = {"verifier": challenge.pop("code_verifier"), "next": address}
    kept |= {"state": secrets.token_urlsafe(24), "nonce": secrets.token_urlsafe(24)}
    kept[LATE] = request.GET.get(LATE, "") if came_late(request.GET, address) else ""
    try:
        answer = redirect(Provider(request).address(kept["state"], kept["nonce"], challenge))
    except UnreachableError as error:
        logger.error("[SIGN_IN] the OpenID provider cannot be reached: %s", settings.OIDC_ISSUER_URL)
        return sign_in_page(request, next_address=address, late=kept[LATE], problem=str(error), status=503)
    answer.set_cookie(
        _cookie(),
        seal(kept, _USE),
        path=settings.SESSION_COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return answer


@login_not_required
@never_cache
@require_safe
@sensitive_variables()
def callback(request: HttpRequest) -> HttpResponse:
    """Take the provider's answer, which counts once, in the browser that it is for."""
    _assert_configured()
    given = request.GET
    # Nothing below may repeat the provider's code, neither a page nor an address that one leads to.
    request.GET, request.META["QUERY_STRING"] = QueryDict(), ""
    answer = _answer(request, given)
    answer.delete_cookie(_cookie(), path=settings.SESSION_COOKIE_PATH, samesite="Lax")
    return answer


@sensitive_variables()
def _answer(request: HttpRequest, given: QueryDict) -> HttpResponse:
    kept = _kept(request)
    address, late = kept.get("next", ""), kept.get(LATE, "")

    def not_signed_in(problem: str, status: int) -> HttpResponse:
        return sign_in_page(request, next_address=address, late=late, problem=problem, status=status)

    if "code" not in given:  # with or without a state, nothing comes of it
        why = "was cancelled" if given.get("error") == "access_denied" else "failed"
        logger.warning("[SIGN_IN] the provider's answer: %s", one_line(given.get("error", "nothing"), 60))
        return not_signed_in(f"Signing in with {settings.OIDC_NAME} {why}. Try again, or with a password.", 403)
    if not kept or not constant_time_compare(given.get("state", ""), kept["state"]):
        logger.warning("[SIGN_IN] an answer of no sign-in of this browser: address=%s", request.META.get("REMOTE_ADDR"))
        return not_signed_in(STALE, 400)
    if not _answered.take(throttled_address(request), PER_MINUTE):
        return _too_many(request)
    name = ""
    try:
        identity = Identity.of(Provider(request).claims(given.get("code", ""), kept["verifier"], kept["nonce"]))
        name = identity.name
        user = account_of(identity, actor_of(request, user_id=name or "unknown"))
    except UnreachableError as error:
        logger.error("[SIGN_IN] the OpenID provider cannot be reached: %s", settings.OIDC_ISSUER_URL)
        return not_signed_in(str(error), 503)
    except RejectedError as error:
        record(Kind.SIGN_IN_FAILED, request, recorded_name(""), source=OIDC, because=str(error))
        problem = f"The answer of {settings.OIDC_NAME} does not count, because {error}. Sign in once more."
        return not_signed_in(problem, 403)
    except RefusedError as error:
        record(Kind.SIGN_IN_FAILED, request, recorded_name(name), source=OIDC, because=str(error))
        return not_signed_in(str(error), 403)
    except AnyDatabaseError as error:
        logger.error("[SIGN_IN] an account could not be brought up to date: %s", error)
        return not_signed_in("A database cannot be written to just now. Nothing was changed. Try again later.", 503)
    return _signed_in(request, user, address, late)


def _signed_in(request: HttpRequest, user: User, address: str, late: str) -> HttpResponse:
    """Begin a session under a new key."""
    login(request, user, backend=BACKEND)
    sessions.begin(request)
    request.session[OIDC] = True
    record(Kind.SIGNED_IN, request, user.get_username(), source=OIDC)
    if late:
        messages.warning(request, CAME_LATE)
    return redirect(address or settings.LOGIN_REDIRECT_URL)


@login_not_required
@never_cache
@require_safe
def signed_out(request: HttpRequest) -> HttpResponse:
    """Say that the provider still knows its user, and lead to where that ends."""
    _assert_configured()
    if request.user.is_authenticated:
        return redirect(settings.LOGIN_REDIRECT_URL)
    endpoint = sign_out_address()
    query = {"client_id": settings.OIDC_CLIENT_ID, "post_logout_redirect_uri": _login_address(request)}
    separator = "&" if "?" in endpoint else "?"
    address = f"{endpoint}{separator}{urlencode(query)}" if endpoint else ""
    return render(request, "accounts/signed_out.html", {"provider": settings.OIDC_NAME, "address": address})


def _login_address(request: HttpRequest) -> str:
    return request.build_absolute_uri(reverse("login"))


def _kept(request: HttpRequest) -> dict[str, Any]:
    """Return what the cookie holds of the sign-in that was begun; nothing if there is none, or it is too old."""
    try:
        sealed_at, kept = open_seal(request.COOKIES.get(_cookie(), ""), _USE)
    except BrokenSealError:
        return {}
    return kept if is_fresh(sealed_at) else {}


def _cookie() -> str:
    return cookie_name("oidc")


def _assert_configured() -> None:
    if not settings.OIDC_ISSUER_URL:
        raise Http404


def _too_many(request: HttpRequest) -> HttpResponse:
    message = "Too many sign-ins were begun from your address within a minute. Wait a minute and try again."
    return error_response(request, 429, message, retry_after_s=60)
