from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands.dbshell import Command as DbshellCommand
from django.db import connections

from tmsdash.db.sqlite_files import missing
from tmsdash.db.transactions import file_is_there


class Command(DbshellCommand):
    """Django's command for existing databases only: SQLite's program would create an empty file."""

    def handle(self, **options: Any) -> None:
        connection = connections[options["database"]]
        if not file_is_there(connection):
            raise CommandError(missing(connection.settings_dict["NAME"]))
        super().handle(**options)
