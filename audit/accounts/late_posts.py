"""What becomes of forms that arrive when their session is over, or with the security token of another sign-in.

None of them reaches its view, so none of them does anything. What was typed is kept (tmsdash.web.kept_forms says how),
and whoever signs in is told that nothing was done, which is true of the form that arrived, and of no other one.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from audit.accounts.sign_in_page import LATE, LIMITS, late_mark, sign_in_page, waiting_for
from tmsdash.web.access_log import log_refused
from tmsdash.web.base_path import is_own
from tmsdash.web.errors import error_response, wants_json
from tmsdash.web.kept_forms import SEALED, TooLongError, author_of, is_from_this_site, keep, sealed_form, without_author
from tmsdash.web.sessions import is_polling, reload_page, time_left

TOO_LONG = (
    "Your session had ended before this form arrived, so nothing was sent or changed. It is too long to be carried "
    "through the sign-in. Sign in in another tab, go back to the form in this one, and send it again."
)
OUTDATED = (
    "The form's security token is missing or out of date. Nothing was sent to TMS. Reload the page and try again."
)
SIGNED_IN_AGAIN = (
    "You had signed in again since that page was loaded, so its button did nothing. This page shows how things are now."
)


class SignInRequiredMiddleware(LoginRequiredMiddleware):
    """Every view requires a signed-in user unless it says otherwise: pages lead to the sign-in, JSON answers 401."""

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., HttpResponseBase], *args: Any
    ) -> HttpResponseBase | None:
        """Ask who the user is only where that matters: /health answers even without the database of sessions."""
        if not getattr(view_func, "login_required", True):
            return None
        return super().process_view(request, view_func, *args)

    def handle_no_permission(  # type: ignore[override]
        self, request: HttpRequest, view_func: Callable[..., HttpResponseBase]
    ) -> HttpResponse:
        if wants_json(request):
            return error_response(request, 401, "Sign in first. Nothing was sent to TMS.")
        if is_polling(request):  # the sign-in page must not replace part of a page
            return reload_page()
        if request.method == "POST":
            return _ask_to_sign_in(request, without_author(request.get_full_path()))
        return super().handle_no_permission(request, view_func)


@sensitive_variables()
def _ask_to_sign_in(request: HttpRequest, address: str) -> HttpResponse:
    """Keep what was posted to `address` until its user has signed in; where nothing was typed, only say so."""
    try:
        sealed = sealed_form(request, address)
    except TooLongError:
        return error_response(request, 413, TOO_LONG)
    if sealed:
        return sign_in_page(request, next_address=address, kept=sealed)
    late = {LATE: late_mark(address)} if is_from_this_site(request) else {}
    return redirect(f"{reverse('login')}?{urlencode({'next': address} | late, safe='/')}")


@csrf_exempt  # the address says whose page it is, signed, and the browser that it is a page of this site
@login_not_required
@never_cache
@sensitive_post_parameters()
@require_POST
def keep_form(request: HttpRequest) -> HttpResponse:
    """Take what was typed on a page whose session is over, from its script. Whatever the form is for is not done."""
    address = without_author(request.POST.get("kept_for", ""))
    if not (is_own(address) and is_from_this_site(request) and author_of(request)):
        log_refused(request, "it hands over a form of no page of ours")
        return error_response(request, 400, "This is no form of a page of ours. Nothing was kept or done.")
    if request.user.is_authenticated:
        return _shown_again(request, address)
    return _ask_to_sign_in(request, address)


@sensitive_variables()
def _shown_again(request: HttpRequest, address: str) -> HttpResponse:
    """Lead a user who is signed in to what they typed, or else to what the page shows now."""
    try:
        kept_at = keep(request.user, sealed_form(request, address))
    except TooLongError:
        return error_response(request, 413, TOO_LONG)
    if not kept_at:
        messages.warning(request, SIGNED_IN_AGAIN)
    return redirect(kept_at or address)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def session(request: HttpRequest) -> JsonResponse:
    """Tell a page how long its session lasts. A POST counts as use of the session; a GET by its script does not."""
    left = time_left(request)
    state = {"seconds_left": round(left.seconds), "is_last": left.is_last, "max_hours": LIMITS["max_hours"]}
    return JsonResponse(state | {"csrf_token": get_token(request)})


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a POST without a valid CSRF token, which is checked before the sign-in."""
    user_is_known = request.user.is_authenticated
    if wants_json(request) or not is_from_this_site(request):
        if wants_json(request) and not user_is_known:
            return error_response(request, 401, "Sign in first. Nothing was sent to TMS.")
        return error_response(request, 403, OUTDATED)
    address = without_author(request.get_full_path())
    if request.path == reverse("login"):
        return _sign_in_again(request)
    if request.path == reverse("display"):
        return redirect("display")
    if request.path in (reverse("logout"), reverse("admin_logout")):
        return redirect("new_action") if user_is_known else redirect("login")
    return _shown_again(request, address) if user_is_known else _ask_to_sign_in(request, address)


def _sign_in_again(request: HttpRequest) -> HttpResponse:
    """Answer the form to sign in that was loaded before somebody signed in, or out, in another tab."""
    waiting = waiting_for(request)
    next_address = request.POST.get("next", "")
    if request.user.is_authenticated:
        kept_at = keep(request.user, waiting[SEALED])
        return redirect(kept_at or "new_action")
    problem = "You had signed in or out in another tab since this page was loaded. Enter your password once more."
    return sign_in_page(
        request, next_address=next_address, kept=waiting[SEALED], late=waiting[LATE], problem=problem, status=403
    )
