"""Signing in and out, each with its entry in the audit."""

import logging
from typing import Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView, redirect_to_login
from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied
from django.db import Error as AnyDatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_safe

from audit.accounts.changes import WAIT_S
from audit.accounts.forms import SignInForm
from audit.accounts.second_factors.factors import check, has_factor, is_required
from audit.accounts.second_factors.middleware import MISSING
from audit.accounts.second_factors.step import FIRST, TOO_LATE, WRONG, code_page, first_step_of
from audit.accounts.sign_in_page import LATE, LIMITS, TEMPLATE, came_late, other_way_in, sign_in_page, waiting_for
from audit.accounts.throttling import count_failure, is_throttled, locked_out, sign_in_turn, turn
from audit.actors import actor_of
from audit.chain import DATABASE
from audit.choices import Kind
from audit.services import record_fact
from tmsdash.accounts import recorded_name
from tmsdash.db.transactions import drop_if_broken
from tmsdash.passwords.hashing import take_as_long_as_others
from tmsdash.tokens import looks_like_token
from tmsdash.web import sessions
from tmsdash.web.addresses import throttled_address
from tmsdash.web.base_path import stays_below
from tmsdash.web.browsers import user_agent_of
from tmsdash.web.kept_forms import SEALED, keep

logger = logging.getLogger(__name__)

BACKEND = "django.contrib.auth.backends.ModelBackend"  # whose accounts these are, however they sign in
OIDC = "oidc"  # in the session, and in the audit, of who signed in with the provider
CAME_LATE = "Your session had ended when the button was pressed, so it did nothing. This page shows how things are now."


class SignIn(LoginView):
    """The page to sign in. It does not say what is wrong, nor whether an account exists."""

    form_class = SignInForm
    template_name = TEMPLATE
    redirect_authenticated_user = True
    extra_context = LIMITS

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs) | waiting_for(self.request)
        return context | other_way_in(context["next"], context[LATE])

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if FIRST in request.POST:
            return self._second_step(request)
        with sign_in_turn(request):
            return super().post(request, *args, **kwargs)

    def get_redirect_url(self) -> str:  # type: ignore[override]
        """Return where to go next, which is on this site: not back here, not where only forms are posted, nor to an
        address with a token.
        """
        url: str = super().get_redirect_url()
        is_form = urlsplit(url).path in (reverse("login"), reverse("logout"))
        return "" if is_form or looks_like_token(url) or not stays_below(url) else url

    def get_success_url(self) -> str:
        """Return where whoever has signed in goes: to the form that waited for them, or to the page they wanted.

        A form that waited for somebody else stays closed, and so does its page.
        """
        if sealed := self.request.POST.get(SEALED, ""):
            return keep(self.request.user, sealed) or resolve_url(self.get_default_redirect_url())
        address: str = super().get_success_url()
        if came_late(self.request.POST, address):
            messages.warning(self.request, CAME_LATE)
        return address

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Let whoever gave the right password in, or ask them for their second factor."""
        user = form.get_user()
        return code_page(self.request, user, self._carried()) if has_factor(user) else self._enter(user)

    def _second_step(self, request: HttpRequest) -> HttpResponse:
        """Take the code of somebody who gave the right password; a wrong one counts like a wrong password."""
        carried, user = self._carried(), first_step_of(request)
        if user is None:
            kept = {"next_address": carried["next"], "kept": carried[SEALED], "late": carried[LATE]}
            return sign_in_page(request, **kept, problem=TOO_LATE, status=403)
        name = user.get_username()
        with turn(f"{name} {throttled_address(request)}"):
            if is_throttled(request, user):
                logger.warning("[SIGN_IN] throttled: user=%s, address=%s", name, request.META.get("REMOTE_ADDR"))
                return locked_out(request, HttpResponse(), None)
            if factor := check(user, request.POST.get("code", "")[:32]):
                return self._enter(user, factor=factor)
            throttled = count_failure(request, user)
        record(Kind.SIGN_IN_FAILED, request, name, at="second factor", throttled_from_now_on=throttled)
        return code_page(request, user, carried, problem=WRONG)

    def _carried(self) -> dict[str, Any]:
        return waiting_for(self.request) | {"next": self.request.POST.get("next", "")}

    def _enter(self, user: Any, **facts: Any) -> HttpResponse:
        """Begin a session under a new key."""
        login(self.request, user, backend=BACKEND)
        answer = redirect(self.get_success_url())
        sessions.begin(self.request)
        if not facts and is_required(user):
            self.request.session[MISSING] = True
        record(Kind.SIGNED_IN, self.request, user.get_username(), **facts)
        return answer

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """Note the failure, unless the form was incomplete or the password was not even checked."""
        if form.has_error(NON_FIELD_ERRORS, "invalid_login"):
            name = recorded_name(form.cleaned_data["username"])
            if getattr(self.request, "axes_failures_since_start", None) is None:
                # Throttled tries cost the sender nothing and an entry is a durable write: a line in the log is enough.
                logger.warning("[SIGN_IN] throttled: user=%s, address=%s", name, self.request.META.get("REMOTE_ADDR"))
            else:
                take_as_long_as_others(form.cleaned_data["password"])
                throttled = bool(getattr(self.request, "axes_locked_out", False))
                record(Kind.SIGN_IN_FAILED, self.request, name, throttled_from_now_on=throttled)
        return super().form_invalid(form)


@method_decorator(login_not_required, name="dispatch")  # when the session is over, there is nothing to refuse
class SignOut(LogoutView):
    """Ends the session, even if the audit cannot be written."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        source = {"source": OIDC} if request.session.get(OIDC) else {}
        if request.user.is_authenticated:
            record(Kind.SIGNED_OUT, request, request.user.get_username(), **source)
        answer: HttpResponse = super().post(request, *args, **kwargs)
        return sessions.forget_at_client(redirect("oidc_signed_out") if source else answer)


@login_not_required
@require_safe
def admin_login(request: HttpRequest) -> HttpResponse:
    """Lead from the admin to the one page where people sign in."""
    if request.user.is_authenticated:
        raise PermissionDenied("Your account has no access to the admin. Ask an administrator for staff status.")
    return redirect_to_login(request.GET.get("next", ""))


def record(kind: Kind, request: HttpRequest, name: str, /, **facts: Any) -> None:
    """Write to log and audit what happened. If that fails, nothing stops: a full disk keeps nobody out, or in."""
    actor = actor_of(request, user_id=name)
    body = facts | {"user_agent": user_agent_of(request)}
    logger.info("[SIGN_IN] %s: user=%s, address=%s", kind.label, name, actor.ip_address)
    try:
        with drop_if_broken(DATABASE):
            record_fact(kind, body, actor=actor, wait_s=WAIT_S)
    except AnyDatabaseError as error:
        logger.critical("[SIGN_IN] %s of %s could not be written to the audit: %s", kind, name, error)
