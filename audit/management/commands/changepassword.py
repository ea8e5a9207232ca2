from typing import Any

from django.contrib.auth.management.commands import changepassword
from django.contrib.auth.models import User

from audit.account_changes import record_by_command


class Command(changepassword.Command):
    """Django's command, with an entry in the audit."""

    def handle(self, *args: Any, **options: Any) -> str | None:
        passwords = dict(User.objects.values_list("pk", "password"))
        said = super().handle(*args, **options)
        for user in User.objects.all():
            if user.password != passwords.get(user.pk):
                record_by_command(user, "password")
        return said
