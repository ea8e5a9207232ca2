from contextlib import nullcontext
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.management.commands.migrate import Command as MigrateCommand
from django.db import connections
from django.db.migrations.exceptions import AmbiguityError
from django.db.migrations.loader import MigrationLoader

from tmsdash.db.losses import losses, sentence
from tmsdash.db.sqlite_files import making_files


class Command(MigrateCommand):
    """Django's command, which alone may create a database's file, and throws away only what it is told to by name."""

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--discard",
            nargs="+",
            default=[],
            metavar="TABLE",
            help="on the way back to an earlier migration: tables with rows, or columns (TABLE.COLUMN), that may go",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        only_looks = options["plan"] or options["check_unapplied"]
        if not (only_looks or options["fake"]):
            self._refuse_losses(options)
        with nullcontext() if only_looks else making_files():
            super().handle(*args, **options)

    def _refuse_losses(self, options: dict[str, Any]) -> None:
        """Raise CommandError if this would throw away what nobody has named. Leave mistakes in names to Django."""
        app_label, name = options["app_label"], options["migration_name"]
        if not (app_label and name):
            return  # the way forwards
        connection = connections[options["database"]]
        if name != "zero":
            try:
                name = MigrationLoader(connection).get_migration_by_prefix(app_label, name).name
            except (KeyError, AmbiguityError):
                return
        lost = losses(connection, [(app_label, None if name == "zero" else name)])
        if refusal := sentence(lost, options["discard"]):
            raise CommandError(refusal)
