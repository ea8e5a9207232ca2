import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from setactions.operations.backups.creation import back_up
from setactions.operations.backups.engine import BackupError
from setactions.operations.backups.thinning import thin
from tmsdash import timers
from tmsdash.commands import TimerCommand
from tmsdash.processes import INTERRUPTED, ended_by_signals

DO_NOT_FIT = 2


class Command(TimerCommand):
    help = (
        "Copy the three databases, as they are at one moment, into a new folder below FOLDER, and verify the copy. "
        "The site may serve meanwhile. Older backups are left alone, unless BACKUP_KEEP says how many of them are "
        "kept: then the others go once the new one is complete. The keys in VAR_DIR are not copied: keep them "
        "elsewhere. Without secret_key or token_key nothing starts until new ones are accepted (site_keys), "
        "and everybody signs in again; without audit_key nothing that it signed can be proven, and nothing is sent "
        "until its loss is acknowledged (audit_keys); without audit_signing_key nothing is sealed until another one "
        "signs (audit_keys). Exit code 0: complete and verified; 1: nothing was kept; 2: "
        "complete, but jobs and audit do not fit together, or the audit does not end as it should."
    )

    timer = timers.BACKUP
    done_codes = (0, DO_NOT_FIT)  # there is a copy; what it shows of the databases is audit_verify's to tell
    needed_keys = ()  # a copy does no harm; what does not fit is named

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", metavar="FOLDER", type=Path, help="the folder in which backups are kept")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with ended_by_signals():
                backup = back_up(options["folder"])
        except BackupError as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("Stopped. Nothing was kept.", returncode=INTERRUPTED) from None
        for alias, entry in backup.manifest.databases.items():
            rows = sum(entry.contents.rows.values())
            self.stdout.write(f"{alias}: {entry.bytes:,} bytes, {rows:,} rows, {entry.engine}")
        self.stdout.write(f"The backup is complete and verified: {backup.folder}")
        self.stdout.write(
            f"The keys in {settings.VAR_DIR} (secret_key, token_key, audit_key, audit_signing_key) and your settings "
            "are not in it. Keep them elsewhere. Without the first two nothing starts until new ones are accepted "
            "(manage.py site_keys), and everybody signs in again; without audit_key nothing that it signed can be "
            "proven, and without audit_signing_key nothing is sealed until another one signs."
        )
        if backup.manifest.disagreements:
            for sentence in backup.manifest.disagreements:
                self.stderr.write(sentence)
            self.stderr.write(
                "This is in the databases, not in the copy. Run manage.py reconcile --full, then make another one; "
                "manage.py audit_verify says more of the audit."
            )
            sys.exit(DO_NOT_FIT)
        self._thin(options["folder"])

    def _thin(self, folder: Path) -> None:
        """Remove older backups as the setting says. Whatever becomes of that, the new one is there."""
        try:
            names = thin(folder, settings.BACKUP_KEEP)
        except BackupError as error:
            self.stderr.write(str(error))
            return
        if names:
            self.stdout.write(f"Removed by BACKUP_KEEP: {', '.join(names)}")
