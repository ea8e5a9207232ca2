from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from setactions.operations.backups.creation import Backup
from setactions.operations.backups.engine import BackupError
from setactions.operations.backups.restoration import UNCHANGED, restore, verified
from tmsdash import site_keys
from tmsdash.commands import Command as BaseCommand
from tmsdash.commands import confirmed
from tmsdash.processes import INTERRUPTED, ended_by_signals

NEXT = (
    "Everybody has to sign in again. Accounts, passwords and permissions are those of the backup, too: switch off "
    "again whoever was switched off since.\n"
    "Next: start the site, then find out what TMS accepted since, of which nothing here knows any more:\n"
    "  manage.py reconcile --full --ask-token"
)


class Command(BaseCommand):
    help = (
        "Put a backup in the place of the three databases, which nobody may be using. Everything is verified before "
        "anything is touched, and what was there is kept. Exit code 0: restored; 1: the databases are as they were."
    )
    requires_system_checks = ()  # a check must not need the databases that are to be restored
    needed_keys = ()  # those of the backup count

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("backup", metavar="FOLDER/TIME", type=Path, help="a folder that backup made")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument("--acknowledge-lost", metavar="KEY_ID", help="the key of the backup's audit, if it is lost")
        parser.add_argument("--reason", default="", help="how it was lost; audit_verify names the loss for ever")

    def handle(self, *args: Any, **options: Any) -> None:
        key_id = options["acknowledge_lost"]
        lost_key = (key_id, options["reason"]) if key_id else None
        try:
            backup = verified(options["backup"])
            if not options["yes"]:
                confirmed(_question(backup))
            with ended_by_signals():
                kept = restore(backup, self.stdout.write, lost_key)
        except BackupError as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError(f"Stopped. {UNCHANGED}", returncode=INTERRUPTED) from None
        for alias, previous in kept.items():
            self.stdout.write(f"{alias}: restored; what was there before: {previous.place}")
        self.stdout.write(f"The databases are as they were at {backup.manifest.made_at}.\n{NEXT}")
        try:
            site_keys.assert_ours()
        except site_keys.WrongKeyError as error:
            self.stdout.write(f"Before anything starts: {error}")


def _question(backup: Backup) -> str:
    entries = backup.manifest.databases.items()
    rows = [f"{alias}: {sum(entry.contents.rows.values()):,} rows\n" for alias, entry in entries]
    return f"{''.join(rows)}This puts the state of {backup.manifest.made_at} in the place of the present databases."
