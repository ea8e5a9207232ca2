"""What our management commands have in common."""

import getpass
import io
import logging
import os
import socket
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any, NoReturn

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as AnyDatabaseError

from tmsdash import site_keys, timers
from tmsdash.days import NoDayError, day_of
from tmsdash.db import moves
from tmsdash.db.migration import MIGRATE_FIRST, are_migrations_due
from tmsdash.logs import no_audit_line
from tmsdash.processes import INTERRUPTED


class SiteCommand(BaseCommand):
    """A command that runs only with the site's keys that it needs, and whose errors cannot pass for log lines."""

    # Anything written or sent under other keys would be useless to the site, or harmful.
    needed_keys: tuple[str, ...] = site_keys.ALL
    wrong_key_exit_code = 1
    is_of_site = True
    has_begun = False  # once it is known that the databases and keys are the site's

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command; raises CommandError, with what to do, if a key is not the site's or a database was moved."""
        if self.is_of_site:
            require_own_site(self.needed_keys, exit_code=self.wrong_key_exit_code)
        self.has_begun = True
        try:
            return super().execute(*args, **options)
        except CommandError as error:
            is_due = isinstance(error.__context__, AnyDatabaseError) and are_migrations_due()
            # It may quote names, files or a database, each on lines of its own.
            error.args = (no_audit_line(f"{str(error).rstrip('.')}.{MIGRATE_FIRST}" if is_due else str(error)),)
            raise


class Command(SiteCommand):
    """A command that exits with 1 for wrong options: argparse's 2 has a meaning of its own here."""

    # Checks of pages, models and templates are for `check` and `serve`, because they load the whole site.
    requires_system_checks: tuple[str, ...] = (Tags.compatibility, Tags.security)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Return Django's parser with that exit code."""
        # Unabbreviated: --token would otherwise mean --token-file.
        parser = super().create_parser(prog_name, subcommand, allow_abbrev=False, **kwargs)

        def error(message: str) -> NoReturn:
            parser.print_usage(sys.stderr)
            parser.exit(1, no_audit_line(f"{parser.prog}: {message}\n"))

        parser.error = error  # type: ignore[method-assign]
        return parser


class TimerCommand(Command):
    """A command that timers run: with --verbosity 0 it prints and logs nothing unless something is wrong.

    cron mails whatever a command prints. What it has to say is held back, and printed if it ends with another exit
    code than 0; warnings and errors are logged at once. JSON that was asked for is printed in any case.
    How it ended is recorded, see tmsdash.timers, unless somebody interrupted it.
    """

    timer = ""  # its name among the timers that are watched, if it is one
    done_codes: tuple[int, ...] = (0,)  # the exit codes with which it has done its work, whatever it found

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command; raises what `handle` raises."""
        code: Any = 1
        try:
            output = self._execute(*args, **options)
            code = 0
        except CommandError as error:
            code = error.returncode
            raise
        except SystemExit as end:
            code = end.code
            raise
        except KeyboardInterrupt:
            code = INTERRUPTED
            raise
        finally:
            # What has not begun would write to a database that is not this site's.
            if self.timer and self.has_begun and code != INTERRUPTED:
                timers.record(self.timer, code in self.done_codes)
        return output

    def _execute(self, *args: Any, **options: Any) -> str | None:
        if options.get("verbosity") != 0:
            return super().execute(*args, **options)
        stdout: Any = options.get("stdout") or self.stdout
        held: Any = stdout if options.get("json") else io.StringIO()  # JSON that was asked for has a reader
        try:
            with only_warnings_logged():
                return super().execute(*args, **options | {"stdout": held})
        except BaseException:  # SystemExit, as a rule
            if held is not stdout and held.getvalue():
                stdout.write(held.getvalue())
            raise


@contextmanager
def only_warnings_logged() -> Iterator[None]:
    """Log nothing below a warning in the block."""
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def require_own_site(names: Collection[str] = site_keys.ALL, *, exit_code: int = 1) -> None:
    """Raise CommandError, with what to do, if a database was moved or one of these keys is not the site's."""
    try:
        moves.assert_in_place()
        site_keys.assert_ours(names)
    except (site_keys.WrongKeyError, moves.MovedError) as error:
        raise CommandError(f"Nothing was done. {error}", returncode=exit_code) from None


def confirmed(question: str) -> None:
    """Ask a person at a terminal for a yes; raises CommandError without one."""
    if not sys.stdin.isatty():
        raise CommandError("There is nobody to ask. Give --yes. Nothing was changed.")
    if input(f"{question}\nType yes to go on: ").strip() != "yes":
        raise CommandError("Nothing was changed.")


def day_option(text: str) -> date:
    """Return the day (UTC) that an option names, for `add_argument(type=…)`; raises CommandError."""
    try:
        return day_of(text)
    except NoDayError as error:
        raise CommandError(str(error)) from None


def os_actor_name() -> str:
    """Return who runs a command, for the audit: the operating system's user and the host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in containers
        user = f"uid{os.getuid()}"
    return f"{user}@{socket.gethostname()}"[:150]
