"""Pages that ask users for their password, and the page on which they change it.

A session may be in the wrong hands. So wrong passwords are counted as at sign-in, and after a few the session ends:

1. One password at a time is checked in each session; none in a session that was ended or has to wait.
2. Failures count for the name and the address, and for the session: from many addresses it is still the same one.
3. The right password clears both counts.
"""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.views import PasswordChangeView
from django.db import transaction
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic.edit import FormMixin

from audit.accounts.changes import record_change
from audit.accounts.forms import INCORRECT, OwnPasswordForm
from audit.accounts.sign_in import record
from audit.accounts.throttling import clear_failures, count_failure, is_throttled, too_many_wrong_passwords, turn
from audit.actors import actor_of
from audit.choices import Kind
from tmsdash.passwords.initial import note_own
from tmsdash.web import sessions


class AsksForPassword(FormMixin):  # type: ignore[type-arg]
    """The part of a page that checks the password of the signed-in user.

    The field `asked_field` of its form fails with INCORRECT when the password is wrong. `at` says in the audit what
    the password was asked for.
    """

    asked_field: str
    at: str
    request: HttpRequest

    @method_decorator(sensitive_post_parameters())
    def dispatch(self, *args: Any, **kwargs: Any) -> HttpResponse:
        answer: HttpResponse = super().dispatch(*args, **kwargs)  # type: ignore[misc]
        return answer

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"user": self.request.user}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Check the password, unless the session has to wait or was ended while this request stood in line."""
        key = request.session.session_key or ""
        with turn(key):
            if is_throttled(request, request.user) or not request.session.exists(key):
                return self._end_session()
            self._hash_before = request.user.password  # type: ignore[union-attr]
            answer: HttpResponse = super().post(request, *args, **kwargs)  # type: ignore[misc]
            return answer

    def form_invalid(self, form: BaseForm) -> HttpResponse:
        """Count and note a wrong password; after a few, end the session."""
        if not form.has_error(self.asked_field, INCORRECT):
            return super().form_invalid(form)
        throttled = count_failure(self.request, self.request.user)
        failures = sessions.count_wrong_password(self.request.session)
        name = self.request.user.get_username()
        record(Kind.SIGN_IN_FAILED, self.request, name, at=self.at, throttled_from_now_on=throttled)
        if throttled or failures >= settings.AXES_FAILURE_LIMIT:
            return self._end_session()
        return super().form_invalid(form)

    def forget_failures(self) -> None:
        """Forget the wrong passwords, because one was right. Its hash may have been renewed: this session goes on."""
        user: Any = self.request.user
        if user.password != self._hash_before:
            self.request.session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        clear_failures(self.request, self.request.user)
        sessions.forget_wrong_passwords(self.request.session)

    def _end_session(self) -> HttpResponse:
        record(Kind.SIGNED_OUT, self.request, self.request.user.get_username(), at=self.at, because="wrong passwords")
        sessions.end(self.request)
        return too_many_wrong_passwords(self.request)


class ChangePassword(AsksForPassword, PasswordChangeView):
    """The page on which users change their own password; their other sessions end."""

    form_class = OwnPasswordForm
    template_name = "accounts/password_change.html"
    success_url = reverse_lazy("password_change")
    asked_field = "old_password"
    at = "change of password"

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        """Change the password, but only together with its entry in the audit."""
        with transaction.atomic(using="default"):
            answer = super().form_valid(form)
            note_own(self.request.user)
            record_change(actor_of(self.request), self.request.user, "password")
            self.forget_failures()
        messages.success(self.request, "Your password was changed. You are signed out everywhere else.")
        return answer
