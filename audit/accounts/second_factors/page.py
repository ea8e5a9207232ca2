"""The page on which users set up their second factor, get other recovery codes, and remove it; for their password."""

from typing import Any

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.generic import FormView

from audit.accounts.forms import CodeField, PasswordForm
from audit.accounts.own_password import AsksForPassword
from audit.accounts.second_factors import factors
from audit.accounts.second_factors.middleware import MISSING
from audit.actors import actor_of

ADD, RENEW, REMOVE = "add", "renew", "remove"


class FactorForm(PasswordForm):
    """What to do, and, to set a factor up, a code that proves that the app has the secret."""

    do = forms.ChoiceField(choices=[(name, name) for name in (ADD, RENEW, REMOVE)], widget=forms.HiddenInput)
    sealed = forms.CharField(required=False, max_length=1000, widget=forms.HiddenInput)
    code = CodeField()
    field_order = ("do", "sealed", "code", "password")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["code"].required = self.data.get("do") == ADD


@method_decorator(never_cache, name="dispatch")
class SecondFactor(AsksForPassword, FormView):  # type: ignore[type-arg]
    """The page of one's own second factor."""

    form_class = FactorForm
    template_name = "accounts/second_factor.html"
    success_url = reverse_lazy("second_factor")
    asked_field = "password"
    at = "second factor"

    @sensitive_variables()
    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the page shows; a secret only where there is no factor yet, another one each time."""
        context = super().get_context_data(**kwargs) | factors.facts(self.request.user)
        context["is_missing"] = self.request.session.get(MISSING, False)
        if context["factor"] is None and self.request.user.has_usable_password():  # type: ignore[union-attr]
            context |= factors.new_secret(self.request.user, self.request.get_host())
        return context

    @sensitive_variables()
    def form_valid(self, form: FactorForm) -> HttpResponse:
        """Do what was asked for, with its entry in the audit."""
        self.forget_failures()
        user, actor, do = self.request.user, actor_of(self.request), form.cleaned_data["do"]
        if do == REMOVE:
            with transaction.atomic(using="default"):
                factors.remove(user, actor)
            if factors.is_required(user):
                self.request.session[MISSING] = True
            messages.success(self.request, "Your second factor was removed: your password alone signs you in.")
            return redirect(self.get_success_url())
        if do == RENEW:
            return self._with_codes(factors.renew_codes(user, actor) if factors.has_factor(user) else [])
        secret = factors.opened_secret(user, form.cleaned_data["sealed"])
        codes = factors.add(user, secret, form.cleaned_data["code"], actor) if secret else []
        if not codes:
            form.add_error("code", "This is not what your app should show. Scan the new picture, and enter its code.")
            return super().form_invalid(form)
        self.request.session.pop(MISSING, None)
        return self._with_codes(codes)

    @sensitive_variables()
    def _with_codes(self, codes: list[str]) -> HttpResponse:
        """Show recovery codes, on no other page and in no message."""
        context = factors.facts(self.request.user) | {"codes": codes, "form": self.get_form_class()(self.request.user)}
        return self.render_to_response(context)
