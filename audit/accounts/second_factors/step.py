"""The second step of signing in: whoever gave the right password gives a code.

What proves the first step is sealed in the page, for ten minutes, and only while the password is the same.
"""

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.crypto import constant_time_compare
from django.views.decorators.debug import sensitive_variables

from audit.accounts.forms import CodeField
from tmsdash.seals import BrokenSealError, is_fresh, open_seal, seal

FIRST = "first"  # of the form's fields
TEMPLATE = "accounts/code.html"
WRONG = "This code does not count: it is wrong, over, or was used before. Wait for the next one and enter it."
TOO_LATE = "The password was entered too long ago, or has changed since. Enter it once more."
_USE = "audit.accounts.second_factors.step"


class CodeForm(forms.Form):
    """Takes the code of the second step."""

    code = CodeField(autofocus=True)


@sensitive_variables()
def code_page(request: HttpRequest, user: Any, waiting: dict[str, Any], *, problem: str = "") -> HttpResponse:
    """Ask for the code; `waiting` is what the form carries on from the page to sign in."""
    sealed = seal([user.pk, user.get_session_auth_hash()], _USE)
    return render(request, TEMPLATE, waiting | {"form": CodeForm(), FIRST: sealed, "problem": problem})


@sensitive_variables()
def first_step_of(request: HttpRequest) -> User | None:
    """Return who gave the right password before; None if that is not proven."""
    try:
        sealed_at, (pk, auth_hash) = open_seal(request.POST.get(FIRST, ""), _USE)
    except BrokenSealError:
        return None
    user = User.objects.filter(pk=pk, is_active=True).first()
    if user is None or not is_fresh(sealed_at):
        return None
    return user if constant_time_compare(auth_hash, user.get_session_auth_hash()) else None
