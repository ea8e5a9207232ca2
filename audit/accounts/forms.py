"""The forms with which accounts and passwords are made, with what Django's own do not ask."""

from typing import Any

from django import forms
from django.contrib.auth.forms import AdminUserCreationForm, AuthenticationForm, PasswordChangeForm, UsernameField
from django.contrib.auth.models import User
from django.views.decorators.debug import sensitive_variables

from audit.models import USER_ID_LENGTH
from tmsdash.passwords.rules import MAXIMUM_LENGTH
from tmsdash.tokens import looks_like_token
from tmsdash.user_names import check_new_name

INCORRECT = "password_incorrect"  # what Django calls it


class SignInForm(AuthenticationForm):
    """Takes no longer names and passwords than an account can have: what is longer is neither hashed nor counted."""

    username = UsernameField(max_length=USER_ID_LENGTH, widget=forms.TextInput(attrs={"autofocus": True}))
    password = forms.CharField(
        label="Password",
        strip=False,
        max_length=MAXIMUM_LENGTH,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


def refuse_token(text: str) -> None:
    """Raise ValidationError for what was pasted where no token belongs."""
    if looks_like_token(text):
        raise forms.ValidationError(
            "This looks like a bearer token. Nothing was kept; revoke it if it is one.", code="token"
        )


class NewAccountForm(AdminUserCreationForm):  # type: ignore[type-arg]
    """An administrator makes an account for somebody."""

    def clean_username(self) -> Any:
        """Take a name that can be told from every other one."""
        name = super().clean_username()
        if name:
            check_new_name(name)
        return name


class OwnPasswordForm(PasswordChangeForm):
    """Users change their own password, to another one."""

    old_password = forms.CharField(
        label="Old password",
        strip=False,
        max_length=MAXIMUM_LENGTH,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )

    @sensitive_variables()
    def clean(self) -> dict[str, Any] | None:
        """Refuse the old password as the new one: an initial one would stay what its giver knows."""
        cleaned = super().clean()
        new = self.cleaned_data.get("new_password1")
        if new and new == self.cleaned_data.get("old_password"):
            self.add_error("new_password1", "This is your old password. Choose another one.")
        return cleaned


class EndSessionsForm(forms.Form):
    """Users choose which of their sessions end, and show that they know the password."""

    end = forms.CharField(required=False, strip=False)
    password = forms.CharField(
        label="Your password",
        strip=False,
        max_length=MAXIMUM_LENGTH,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        help_text="Asked for again, because whoever ends your sessions keeps you out.",
    )

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        self.user = user
        super().__init__(*args, **kwargs)

    @sensitive_variables()
    def clean_password(self) -> str:
        """Refuse every password but that of the account."""
        password: str = self.cleaned_data["password"]
        if not self.user.check_password(password):
            raise forms.ValidationError("This is not your password. Enter it again.", code=INCORRECT)
        return password
