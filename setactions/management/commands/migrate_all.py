from pathlib import Path
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.core.checks.registry import registry
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from tmsdash import site_keys
from tmsdash.accounts import AUDITORS, OPERATORS
from tmsdash.commands import require_own_site
from tmsdash.db.losses import losses, sentence
from tmsdash.db.migration import LATER, NEW_INSTALLATION, migrating_alone
from tmsdash.db.transactions import UNUSABLE_DATABASE, VARIABLES, are_different
from tmsdash.db.way_back import NoWayBack, later_migrations, targets_of, undone_by

GROUPS = {
    OPERATORS: {"jobs.set_action"},
    AUDITORS: {
        *("jobs.view_job", "jobs.view_jobcustomer", "jobs.view_batch", "jobs.view_runbookentry"),
        *("audit.view_attempt", "audit.view_auditentry"),
    },
}


class Command(BaseCommand):
    help = (
        "Migrate the three databases, and create the groups Operators and Auditors. Running it again changes nothing. "
        "If several are started at once, one migrates and the others wait for it."
    )

    stealth_options = ("any_key",)  # for `restore`, which may bring databases of a key that is lost

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--noinput", action="store_true", help="accepted, as by migrate; nothing is asked anyway")
        parser.add_argument(
            "--new-installation", action="store_true", help="begin a new audit although there are seals of its key"
        )
        parser.add_argument(
            "--back-to",
            type=Path,
            metavar="FOLDER",
            help="instead, take the databases back to the tables of the earlier version of the product in this folder",
        )
        parser.add_argument(
            "--discard",
            nargs="+",
            default=[],
            metavar="TABLE",
            help="with --back-to: tables with rows, or columns (TABLE.COLUMN), that may go",
        )

    def get_check_kwargs(self, options: Any) -> dict[Any, Any]:
        """Return which checks to run: all but the one that the option overrides."""
        is_new = options["new_installation"]
        return {"tags": registry.tags_available() - {NEW_INSTALLATION}} if is_new else super().get_check_kwargs(options)

    def handle(self, *args: Any, **options: Any) -> None:
        if not are_different():
            # They would share one table of applied migrations, and all but the first would stay empty.
            raise CommandError(f"{', '.join(VARIABLES.values())}: name three different databases.")
        require_own_site(() if options.get("any_key") else ("AUDIT_KEY",))  # a migration may sign existing rows
        try:
            with migrating_alone(lambda line: self.stderr.write(line, lambda text: text)):
                if folder := options["back_to"]:
                    self._go_back(folder.resolve(), options)
                else:
                    self._migrate(options)
        except (OSError, *UNUSABLE_DATABASE) as error:
            raise CommandError(f"The databases cannot be locked for migrating; nothing was changed. {error}") from None

    def _go_back(self, folder: Path, options: dict[str, Any]) -> None:
        try:
            targets = targets_of(folder)
        except NoWayBack as error:
            raise CommandError(f"Nothing was changed. {error}") from None
        undone = {alias: undone_by(alias, targets) for alias in connections}
        lost: dict[str, int] = {}
        for alias in connections:  # all of it before anything is changed
            lost |= losses(connections[alias], [*targets.items()])
        if refusal := sentence(lost, options["discard"]):
            raise CommandError(refusal)
        for alias, labels in undone.items():
            for label in labels:
                more = {key: options.get(key) for key in ("verbosity", "stdout", "discard")}
                call_command("migrate", label, targets[label] or "zero", database=alias, interactive=False, **more)
        self.stdout.write(f"The databases are those of the version in {folder}. Start that one.")

    def _migrate(self, options: dict[str, Any]) -> None:
        if later := later_migrations():
            raise CommandError(LATER.format(later[-1]))
        for alias in connections:
            if options["verbosity"]:
                self.stdout.write(f"Database {alias}:")
            try:
                more = {
                    "verbosity": options["verbosity"],
                    "stdout": options.get("stdout"),
                }  # a wrapper would end each piece
                call_command("migrate", database=alias, interactive=False, **more)
            except UNUSABLE_DATABASE as error:
                raise CommandError(f"{VARIABLES[alias]}: this database cannot be used. {error}") from None
        make_groups()
        site_keys.remember()


def make_groups() -> None:
    """Create the two groups and grant their permissions; permissions added by hand are kept."""
    for name, labels in GROUPS.items():
        group, _ = Group.objects.get_or_create(name=name)
        for app_label, codename in (label.split(".") for label in labels):
            group.permissions.add(Permission.objects.get(content_type__app_label=app_label, codename=codename))
