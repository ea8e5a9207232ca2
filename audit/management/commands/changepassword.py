import getpass
from typing import Any

from django.contrib.auth.management.commands import changepassword
from django.contrib.auth.models import User

from audit.accounts.changes import record_by_command
from tmsdash.commands import SiteCommand
from tmsdash.passwords.initial import note_given


class Command(SiteCommand, changepassword.Command):
    """Django's command, with an entry in the audit; the user has to change the password at the next sign-in."""

    def handle(self, *args: Any, **options: Any) -> str | None:
        name = options["username"] or getpass.getuser()  # as Django does
        before = User.objects.filter(username=name).values_list("password", flat=True).first()
        output = super().handle(*args, **options)
        user = User.objects.get(username=name)
        if user.password != before:
            note_given(user)
            record_by_command(user, "password")
        return output
