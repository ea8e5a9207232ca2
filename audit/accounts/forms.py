"""The forms for accounts and passwords, with what Django's own do not check."""

from typing import Any

from django import forms
from django.contrib.auth.forms import (
    AdminUserCreationForm,
    AuthenticationForm,
    PasswordChangeForm,
    UserChangeForm,
    UsernameField,
)
from django.contrib.auth.models import User
from django.views.decorators.debug import sensitive_variables

from audit.models import USER_ID_LENGTH
from tmsdash.passwords.rules import MAXIMUM_LENGTH
from tmsdash.tokens import looks_like_token
from tmsdash.user_names import check_new_name

INCORRECT = "password_incorrect"  # what Django calls it


class CurrentPasswordField(forms.CharField):
    """The password that an account has now: as it was typed, and no longer than one can be, so as not to hash it."""

    def __init__(self, label: str, *, help_text: str = "", **attributes: Any) -> None:
        widget = forms.PasswordInput({"autocomplete": "current-password"} | attributes)
        super().__init__(label=label, strip=False, max_length=MAXIMUM_LENGTH, widget=widget, help_text=help_text)


class CodeField(forms.CharField):
    """A code of the app for second factors, or a recovery code."""

    def __init__(self, **attributes: Any) -> None:
        widget = forms.TextInput({"autocomplete": "one-time-code", "inputmode": "numeric"} | attributes)
        super().__init__(label="Code", max_length=32, widget=widget, help_text="6 digits, which your app shows now")


class SignInForm(AuthenticationForm):
    """Takes no longer names and passwords than an account can have: anything longer is neither hashed nor counted."""

    username = UsernameField(max_length=USER_ID_LENGTH, widget=forms.TextInput(attrs={"autofocus": True}))
    password = CurrentPasswordField("Password")
    error_messages = dict.fromkeys(
        ("invalid_login", "inactive"),
        "The user name and password do not match, or the account is disabled. Check both, including upper and lower "
        "case, and try again. If that does not help, ask an administrator.",
    )


def refuse_token(text: str) -> None:
    """Raise ValidationError for a token that was pasted where none belongs."""
    if looks_like_token(text):
        message = "This looks like a bearer token. It was not kept; if it is one, revoke it."
        raise forms.ValidationError(message, code="token")


class NewAccountForm(AdminUserCreationForm):  # type: ignore[type-arg]
    """An administrator makes an account for somebody else, with a name that can be told apart from every other."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["usable_password"]
        field.label, field.help_text = "Signing in", "Without a password, nobody can sign in with the account yet."
        field.choices = [("true", "With the password below"), ("false", "Without a password")]  # type: ignore[attr-defined]

    def clean_username(self) -> Any:
        name = super().clean_username()
        if name:
            check_new_name(name)
        return name


class AccountForm(UserChangeForm):  # type: ignore[type-arg]
    """An administrator changes an account.

    Without its own field `is_sent` it changes nothing: a box that is not ticked is not sent, so that an empty request
    would switch the account off.
    """

    password = None  # type: ignore[assignment]  # Django's way to leave a field out
    is_sent = forms.CharField(widget=forms.HiddenInput, initial="yes")


class OwnPasswordForm(PasswordChangeForm):
    old_password = CurrentPasswordField("Old password", autofocus=True)

    @sensitive_variables()
    def clean(self) -> dict[str, Any] | None:
        """Refuse the old password as the new one: whoever gave an initial password would still know it."""
        cleaned = super().clean()
        new = self.cleaned_data.get("new_password1")
        if new and new == self.cleaned_data.get("old_password"):
            self.add_error("new_password1", "This is your old password. Choose another one.")
        return cleaned


class PasswordForm(forms.Form):
    """What users may do only once they have proven that they know their password."""

    password = CurrentPasswordField("Your password")

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        self.user = user
        super().__init__(*args, **kwargs)

    @sensitive_variables()
    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        if not self.user.check_password(password):
            raise forms.ValidationError("This is not your password. Enter it again.", code=INCORRECT)
        return password


class EndSessionsForm(PasswordForm):
    """Users choose which of their sessions to end."""

    end = forms.CharField(required=False, strip=False)
    password = CurrentPasswordField(
        "Your password", help_text="You are asked again, because somebody who ends your sessions can lock you out."
    )

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        if not user.has_usable_password():  # whoever signs in with a provider has none to give
            del self.fields["password"]
