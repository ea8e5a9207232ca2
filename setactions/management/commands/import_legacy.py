from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser

from audit.selectors import newest_anchor
from setactions.operations.legacy.copies import BadFileError
from setactions.operations.legacy.importer import import_jobs, import_log
from setactions.operations.legacy.names import Names, origin_of
from setactions.operations.legacy.old_files import AUDIT, JOBS, OldFile, opened
from setactions.operations.legacy.preview import preview, unlinked
from setactions.operations.legacy.survey import Survey
from tmsdash.commands import Command as BaseCommand
from tmsdash.commands import only_warnings_logged, os_actor_name
from tmsdash.db.locks import alone
from tmsdash.db.transactions import drop_if_broken
from tmsdash.text import one_line
from tmsdash.user_names import check_spelling

UNUSABLE = "A database cannot be used. Run the import again later; it continues where it stopped."


class Command(BaseCommand):
    help = (
        "Import the jobs and the audit log of the old dashboard, marked as coming from there. Try it with --dry-run "
        "first: what is imported cannot be changed. Running it again adds only what is new. Times of its jobs are "
        "local to --time-zone, those of its audit log are UTC, unless they say otherwise. Rows that make no sense "
        "are named with their number and skipped."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--jobs-db", required=True, metavar="FILE", help="the old jobs.db")
        parser.add_argument("--audit-db", required=True, metavar="FILE", help="the old audit.db")
        parser.add_argument(
            "--time-zone", required=True, metavar="NAME", help="that its server ran in, such as Europe/Paris"
        )
        parser.add_argument(
            "--user-map", action="append", default=[], metavar="OLD=NEW", help="a user who has another name here"
        )
        parser.add_argument(
            "--cluster-map",
            action="append",
            default=[],
            metavar="ORIGIN=NAME",
            help="an address in its jobs, such as https://host, and which cluster of TMS_CLUSTERS it is",
        )
        parser.add_argument("--dry-run", action="store_true", help="show what would be imported, and write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        dry_run, imported_by = options["dry_run"], os_actor_name()
        survey = Survey(
            zone=_zone(options["time_zone"]),
            users=Names(_users(options["user_map"])),
            clusters=Names(_clusters(options["cluster_map"]), _configured()),
            say=lambda problem: self.stderr.write(one_line(problem)),
        )
        jobs_path, log_path = Path(options["jobs_db"]), Path(options["audit_db"])
        try:
            with ExitStack() as stack:
                stack.enter_context(drop_if_broken(raising=lambda error: CommandError(f"{UNUSABLE} {error}")))
                jobs: OldFile = stack.enter_context(opened(jobs_path, JOBS))
                log: OldFile = stack.enter_context(opened(log_path, AUDIT))
                if not dry_run:
                    stack.enter_context(alone("import_legacy", self._say_that_it_waits))
                survey.read(jobs, log)
                if dry_run:
                    for line in preview(survey, jobs_path, log_path):
                        self.stdout.write(one_line(line, 2000))
                _check_matched(survey)
                if not dry_run:
                    # The log names the anchor of each entry, and would bury the warnings under these lines.
                    with nullcontext() if options["verbosity"] > 1 else only_warnings_logged():
                        counts = import_jobs(survey, jobs, imported_by), import_log(survey, log, imported_by)
                    self._report(survey, *counts)
        except BadFileError as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            again = "Run it again then: it imports what is missing."
            raise CommandError(f"{error.filename or 'A file'}: {error.strerror}. {again}") from None

    def _say_that_it_waits(self) -> None:
        self.stderr.write("Another import is running; waiting for its end.")

    def _report(self, survey: Survey, jobs: int, log_rows: int) -> None:
        self.stdout.write(f"Jobs: {survey.jobs.in_words(jobs, 'imported')}. Doubled: {survey.doubled:,}.")
        log_in_words = survey.log.in_words(log_rows, "imported")
        self.stdout.write(f"Audit log: {log_in_words}. Linked to its job: {survey.linked:,}.{unlinked(survey)}")
        if anchor := newest_anchor():
            self.stdout.write(f"Anchor of the audit's newest entry: {anchor}. Keep it, for audit_verify --anchor.")


def _check_matched(survey: Survey) -> None:
    """Raise CommandError if a name was given that stands nowhere: probably it is misspelled, and the import final."""
    for option, names in (("--user-map", survey.users), ("--cluster-map", survey.clusters)):
        if names.unmatched:
            raise CommandError(
                f"{option}: no row has {', '.join(names.unmatched)}. Rows have "
                f"{', '.join(names.in_words()) or 'no names'}. Correct it, or leave it out. Nothing was imported."
            )


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


def _configured() -> dict[str, str]:
    """Return the origins of TMS_CLUSTERS, by how the import spells them."""
    return {origin_of(origin): origin for origin in settings.TMS_CLUSTERS.values()}


def _clusters(pairs: list[str]) -> dict[str, str]:
    clusters: dict[str, str] = {}
    for pair in pairs:
        address, _, name = (part.strip() for part in pair.rpartition("="))
        old, new = origin_of(address), settings.TMS_CLUSTERS.get(name)
        if not (old and name) or clusters.get(old, new) != new:
            raise CommandError(f"--cluster-map {pair}: write each address once, as https://host=name.")
        if new is None:
            known = ", ".join(settings.TMS_CLUSTERS) or "none; set it first"
            raise CommandError(f"--cluster-map {pair}: TMS_CLUSTERS has no cluster {name}. It has {known}.")
        clusters[old] = new
    return clusters
