from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.contrib.auth.models import User

from audit.account_changes import record_by_command


class Command(createsuperuser.Command):
    """Django's command, with an entry in the audit."""

    def handle(self, *args: Any, **options: Any) -> None:
        before = set(User.objects.values_list("pk", flat=True))
        super().handle(*args, **options)
        for user in User.objects.exclude(pk__in=before).filter(is_superuser=True):
            record_by_command(user, "added")
