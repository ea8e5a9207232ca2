from contextlib import nullcontext
from typing import Any

from django.core.management.commands.migrate import Command as MigrateCommand

from tmsdash.db.sqlite_files import making_files


class Command(MigrateCommand):
    """Django's command, which alone may create a database's file."""

    def handle(self, *args: Any, **options: Any) -> None:
        only_looks = options["plan"] or options["check_unapplied"]
        with nullcontext() if only_looks else making_files():
            super().handle(*args, **options)
