import secrets
import sys
import time
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error as AnyDatabaseError
from django.utils import timezone

from setactions.devtools.demo_data.installation import ACCOUNTS, fill, own_data
from setactions.devtools.demo_data.scenario import CLUSTERS
from tmsdash.commands import Command as BaseCommand
from tmsdash.commands import only_warnings_logged

SHOWN_EVERY = 10_000


class Command(BaseCommand):
    help = (
        "Fill an empty, migrated installation with made-up data of three years, for demonstrations and measurements "
        "only: jobs of about ten customers each with a valid audit, batches, refusals, attempts in doubt, sign-ins, "
        "live states. A site that holds anything of its own is left alone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--jobs", type=int, default=10_000, help="how many (default: %(default)s)")
        parser.add_argument("--seed", type=int, default=1, help="another one makes other data (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["jobs"] < 1:
            raise CommandError("--jobs: make at least one.")
        begun, password = time.monotonic(), secrets.token_urlsafe(12)
        try:
            if data := own_data():
                raise CommandError(
                    f"This site has data of its own: {', '.join(data)}. Made-up data could never be taken out of its "
                    "audit again, so nothing was done. Set VAR_DIR to a new folder (or the DATABASE_URLs to new "
                    "databases), run manage.py migrate_all, then this."
                )
            now = timezone.now().replace(second=0, microsecond=0)
            with only_warnings_logged():
                fill(jobs=options["jobs"], seed=options["seed"], end=now, password=password, on_jobs=self._show)
        except AnyDatabaseError as error:
            raise CommandError(f"The databases could not be filled; delete them and start again. {error}") from error
        clusters = ",".join(f"demo{number}={origin}" for number, origin in enumerate(CLUSTERS, start=1))
        self.stdout.write(
            f"Made {options['jobs']:,} jobs in {time.monotonic() - begun:,.0f} s. Sign in as {', '.join(ACCOUNTS)}, "
            f"each with the password {password}\nSet TMS_CLUSTERS={clusters}"
        )

    def _show(self, jobs: int) -> None:
        if jobs % SHOWN_EVERY == 0 and sys.stderr.isatty():
            self.stderr.write(f"\r{jobs:,} jobs", ending="")
