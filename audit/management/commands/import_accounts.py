import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error as AnyDatabaseError
from django.views.decorators.debug import sensitive_variables

from audit.accounts.csv_file import COLUMNS, BadFileError, Change, read_changes
from audit.accounts.csv_import import apply, initial_passwords, write_passwords
from audit.actors import command_actor
from tmsdash.commands import Command as BaseCommand
from tmsdash.commands import only_warnings_logged
from tmsdash.text import one_line


class Command(BaseCommand):
    help = (
        f"Add accounts from a CSV file, and change those that it says other things of. Its columns are "
        f"{', '.join(COLUMNS)}; all but the first can be left out. Groups of one account are separated by ; or |. If "
        "anything is wrong with the file, each problem is named with its line, and nothing is done. Each new account "
        "gets an initial password, with which its user has to choose another one. Exit code 0: done; 1: nothing was."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="the CSV file, in UTF-8")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
        parser.add_argument("--json", action="store_true", help="print what was done, or is wrong, as JSON")
        way = parser.add_mutually_exclusive_group()
        way.add_argument(
            "--passwords-file", metavar="OUT", help="write initial passwords to this new file, for its owner only"
        )
        way.add_argument(
            "--no-password", action="store_true", help="new accounts have none, for sites with single sign-on"
        )

    @sensitive_variables()
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            changes = read_changes(Path(options["file"]))
            passwords = {} if options["no_password"] or options["dry_run"] else initial_passwords(changes)
            out = Path(options["passwords_file"]) if options["passwords_file"] and passwords else None
            if passwords and not out and (options["json"] or not self.stdout.isatty()):
                raise CommandError(
                    "New accounts get initial passwords, and there is no terminal to show them on. Give "
                    "--passwords-file OUT, or --no-password. Nothing was done."
                )
            if not options["dry_run"]:
                self._apply(changes, passwords, out)
        except BadFileError as error:
            self._fail(error, as_json=options["json"])
        except AnyDatabaseError as error:
            raise CommandError(f"A database cannot be used. Nothing was done; run the command again. {error}") from None
        self._report(changes, dry_run=options["dry_run"], as_json=options["json"])
        if passwords and not out:
            for name, password in passwords.items():
                self.stdout.write(f"{name}\t{password}")

    @sensitive_variables()
    def _apply(self, changes: list[Change], passwords: dict[str, str], out: Path | None) -> None:
        """Carry the changes out, with the passwords on the disk before the accounts that they are for."""
        try:
            if out:
                write_passwords(out, passwords)
        except OSError as error:
            raise CommandError(f"{out} cannot be written: {error.strerror}. Nothing was done.") from None
        try:
            with only_warnings_logged():  # the log would have a line for each entry of the audit
                apply(changes, passwords, command_actor())
        except BaseException:
            if out:
                out.unlink()
            raise

    def _fail(self, error: BadFileError, *, as_json: bool) -> None:
        if as_json:
            problems = [problem._asdict() for problem in error.problems]
            self.stdout.write(json.dumps({"is_done": False, "errors": problems}))
            sys.exit(1)
        for problem in error.problems:
            self.stderr.write(f"Line {problem.line}: {problem.message}")
        raise CommandError("Nothing was done. Correct the file and run the command again.")

    def _report(self, changes: list[Change], *, dry_run: bool, as_json: bool) -> None:
        added = [change.name for change in changes if change.user is None]
        changed = {change.name: change.changed for change in changes if change.user and change.changed}
        unchanged = len(changes) - len(added) - len(changed)
        if as_json:
            counts = {"added": added, "changed": changed, "unchanged": unchanged}
            self.stdout.write(json.dumps({"is_done": not dry_run, "errors": []} | counts))
            return
        for name in added:
            self.stdout.write(f"{name}: {'would be added' if dry_run else 'added'}")
        for name, what in changed.items():
            words = f"{'would be changed' if dry_run else 'changed'} ({', '.join(what)})"
            self.stdout.write(one_line(f"{name}: {words}"))
        self.stdout.write(f"{len(added):,} added, {len(changed):,} changed, {unchanged:,} unchanged.")
        if dry_run:
            self.stdout.write("This was a dry run: nothing was done.")
