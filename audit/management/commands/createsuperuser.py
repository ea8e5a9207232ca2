import os
from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.views.decorators.debug import sensitive_variables

from audit.accounts.changes import record_by_command
from tmsdash.commands import SiteCommand
from tmsdash.user_names import check_new_name


class Command(SiteCommand, createsuperuser.Command):
    """Django's command, with an entry in the audit, and only for a name that cannot be mistaken for another one."""

    def handle(self, *args: Any, **options: Any) -> None:
        before = set(User.objects.values_list("pk", flat=True))
        super().handle(*args, **options)
        if not options["interactive"] and os.environ.get("DJANGO_SUPERUSER_PASSWORD"):
            self._warn_of_weak_password()
        for user in User.objects.exclude(pk__in=before).filter(is_superuser=True):
            record_by_command(user, "added")

    @sensitive_variables()
    def _warn_of_weak_password(self) -> None:
        """Check what Django does not: whether the password in the environment keeps the rules."""
        try:
            validate_password(os.environ["DJANGO_SUPERUSER_PASSWORD"])
        except ValidationError as wrong:
            self.stderr.write(f"Warning: DJANGO_SUPERUSER_PASSWORD is weak. {' '.join(wrong.messages)}")

    def _validate_username(self, username: str, verbose_field_name: str, database: str) -> str | None:
        """Return what is wrong with a name, or None; Django asks about each name that is typed or given."""
        error: str | None = super()._validate_username(username, verbose_field_name, database)  # type: ignore[misc]
        if error:
            return error
        try:
            check_new_name(username)
        except ValidationError as wrong:
            return "; ".join(wrong.messages)
        return None
