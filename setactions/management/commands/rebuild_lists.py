from typing import Any

from django.core.management.base import CommandError
from django.db import Error as AnyDatabaseError

from audit import tallies
from jobs.models import Job, JobDay
from tmsdash.commands import Command as SiteCommand
from tmsdash.db import day_ranges


class Command(SiteCommand):
    help = (
        "Make anew what lists and the summary use to find rows quickly: which rows a day has, and the sums of months "
        "that are over. Needed if audit_verify says so. The site may serve meanwhile: its lists are right, only slower."
    )

    needed_keys = ()  # nothing of it is signed

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            tallies.rebuild()
            day_ranges.rebuild(JobDay, Job)
        except AnyDatabaseError as error:
            raise CommandError(f"A database cannot be used; run it again later. {error}") from None
        self.stdout.write("The days of attempts, entries and jobs, and the sums of months were made anew.")
