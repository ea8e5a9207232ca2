from datetime import date, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import Error as AnyDatabaseError
from django.db import connections
from django.utils import timezone
from tqdm import tqdm

from audit.actors import command_actor
from audit.chain import DATABASE
from audit.models import AuditEntry
from audit.proof.archives import ArchiveError
from audit.proof.closed_periods import archive, last_closed
from audit.proof.commands import ProofCommand, gone_named
from audit.proof.sealing import BrokenError, seal
from audit.proof.verification import verify
from audit.transparency.signing_key import SigningKeyError
from tmsdash.commands import day_option
from tmsdash.days import first_moment
from tmsdash.db.locks import alone
from tmsdash.db.transactions import ensure_own_file


class Command(ProofCommand):
    help = (
        "Move the audit's entries from before a day into a sealed file, and delete them from the database; nothing "
        "else ever deletes one. The whole audit is verified and sealed first, and an attempt that is open or has a "
        "later event is not torn apart. audit_verify reads the files. Run it in a quiet hour: Set Actions wait while "
        "entries are deleted. Exit code 0: done, or nothing to do; 3: the audit is broken, and nothing was moved."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--before", required=True, type=_past_day, metavar="DAY", help="move what is from before this day (UTC)"
        )
        parser.add_argument("--folder", metavar="FOLDER", help="where to put the file (default: AUDIT_SEAL_DIR)")

    def handle(self, *args: Any, **options: Any) -> None:
        folder = Path(options["folder"] or settings.AUDIT_SEAL_DIR).resolve()
        if folder.is_relative_to(Path(settings.VAR_DIR).resolve()):
            raise CommandError(f"--folder: {folder} is in VAR_DIR. Name a folder elsewhere.")
        try:
            with gone_named(self.stderr, "moved"):
                ensure_own_file(connections[DATABASE])  # else what is named is the folder of the lock
                with alone("archive", lambda: self.stderr.write("Another archive is being made; waiting for it.")):
                    self._archive(first_moment(options["before"]), folder)
        except BrokenError as error:
            self.end_broken(error.finding, "moved")
        except (ArchiveError, AnyDatabaseError, SigningKeyError) as error:
            raise CommandError(f"Nothing was moved. {error}") from None
        except OSError as error:
            raise CommandError(f"Nothing was moved. {error.filename or folder}: {error.strerror}.") from None

    def _archive(self, before: datetime, folder: Path) -> None:
        with tqdm(unit=" rows", disable=None, leave=False) as bar:
            verification = verify(on_step=bar.update, archive_folder=folder)
        if not verification.is_whole:
            self.end_broken(verification.findings[0], "moved")
        last, held_up_by = last_closed(before)
        if held_up_by:
            state = "open" if held_up_by.is_open else "not over by then"
            self.stderr.write(f"Attempt {held_up_by.attempt_id} is {state}; it and everything after it stay.")
        count = AuditEntry.objects.filter(sequence__lte=last).count()
        if not count:
            self.stdout.write("There is nothing to archive.")
            return
        seal(command_actor(), folder)
        with tqdm(total=2 * count, unit=" entries", disable=None, leave=False) as bar:
            made = archive(last, folder, command_actor(), bar.update)
        self.stdout.write(f"Archived: entries {made.first:,} to {made.last:,}, in {made.path}. Keep this file.")


def _past_day(text: str) -> date:
    day = day_option(text)
    if day > timezone.now().date():
        raise CommandError(f"{text} has not begun yet; name a day before it.")
    return day
