from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser

from setactions.operations.legacy.importer import Counts, Importer
from setactions.operations.legacy.old_files import AUDIT, JOBS, BadFileError, opened
from tmsdash.commands import Command as BaseCommand
from tmsdash.commands import os_actor_name
from tmsdash.db.locks import alone
from tmsdash.db.transactions import drop_if_broken
from tmsdash.text import one_line
from tmsdash.user_names import check_spelling

UNUSABLE = "A database cannot be used. Run the import again later; it continues where it stopped."


class Command(BaseCommand):
    help = (
        "Import the jobs and the audit log of the old dashboard, marked as coming from there. Running it again adds "
        "only what is new. Times of its audit log are local to --time-zone; those of its jobs are UTC unless they say "
        "otherwise. Rows that make no sense are named with their number and skipped."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--jobs-db", required=True, metavar="FILE", help="the old jobs.db")
        parser.add_argument("--audit-db", required=True, metavar="FILE", help="the old audit.db")
        parser.add_argument("--time-zone", required=True, metavar="NAME", help="of its server, such as Europe/Paris")
        parser.add_argument(
            "--user-map", action="append", default=[], metavar="OLD=NEW", help="a user who has another name here"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        jobs, log = _file(options["jobs_db"], JOBS), _file(options["audit_db"], AUDIT)
        try:
            importer = Importer(
                zone=_zone(options["time_zone"]),
                users=_users(options["user_map"]),
                imported_by=os_actor_name(),
                say=lambda problem: self.stderr.write(one_line(problem)),
            )
            with (
                drop_if_broken(raising=lambda error: CommandError(f"{UNUSABLE} {error}")),
                alone("import_legacy", lambda: self.stderr.write("Another import is running; waiting for its end.")),
            ):
                importer.import_jobs(jobs)
                importer.import_log(log)
        except BadFileError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Jobs: {_in_words(importer.jobs)}. Doubled: {importer.jobs.doubled:,}.")
        self.stdout.write(f"Audit log: {_in_words(importer.log)}.")


def _in_words(counts: Counts) -> str:
    return (
        f"{counts.rows:,} rows with {counts.customers:,} customers, {counts.imported:,} imported, "
        f"{counts.there_already:,} there already, {counts.bad:,} bad and skipped"
    )


def _file(name: str, tables: dict[str, str]) -> Path:
    """Return the path of a file with these tables; raises CommandError, before anything is imported, if it is none."""
    if not Path(name).is_file():
        raise CommandError(f"There is no file {name}.")
    try:
        with opened(Path(name), tables):
            return Path(name)
    except BadFileError as error:
        raise CommandError(str(error)) from None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise CommandError(f"--time-zone {name}: there is no such time zone. Write one such as Europe/Paris.") from None


def _users(pairs: list[str]) -> dict[str, str]:
    users: dict[str, str] = {}
    for pair in pairs:
        old, equals, new = (part.strip() for part in pair.partition("="))
        if not (old and equals and new) or users.get(old, new) != new:
            raise CommandError(f"--user-map {pair}: write each old name once, as old=new.")
        try:
            if not User.objects.filter(username=new).exists():  # then an account that is still to be made
                check_spelling(new)
        except ValidationError as wrong:
            raise CommandError(f"--user-map: nobody here is called {new!r}. {' '.join(wrong.messages)}") from None
        users[old] = new
    return users
