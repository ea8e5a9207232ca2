"""What lists and the summary read in place of attempts and entries, and what is made anew from these at any time."""

from django.db import models

from audit.models.columns import USER_ID_LENGTH
from tmsdash.db.day_ranges import DayRange


class AttemptDay(DayRange):
    """The keys of the attempts of a day."""


class EntryDay(DayRange):
    """The keys of the entries of a day."""


class Unit(models.TextChoices):
    """What is tallied: days and months (UTC), each named by the first letters of its times.

    Years of months are many rows, so there is a total of each: by source and outcome alone, its other columns empty.
    """

    DAY = "day"
    MONTH = "month"
    TOTAL = "total"

    @property
    def letters(self) -> int:
        """How many: those of 2026-02-28, or of 2026-02."""
        return 10 if self == Unit.DAY else 7


class Tally(models.Model):
    """How many attempts of a day or month had all of this in common, and of how many customers, see audit.tallies."""

    pk = models.CompositePrimaryKey("unit", "period", "outcome", "user_id", "action_code", "cluster_url", "source")
    unit = models.CharField(max_length=5)
    period = models.CharField(max_length=10)
    outcome = models.CharField(max_length=24)
    user_id = models.CharField(max_length=USER_ID_LENGTH)
    action_code = models.PositiveSmallIntegerField(help_text="0 if the attempt has none")
    cluster_url = models.CharField(max_length=300)
    source = models.CharField(max_length=16)
    attempts = models.PositiveIntegerField()
    customers = models.PositiveBigIntegerField()

    without_rowid = True  # see tmsdash.db.tables

    def __str__(self) -> str:
        return f"{self.period}: {self.attempts}"


class TalliedPeriod(models.Model):
    """A day or month that was tallied when `last_key` was the newest attempt's, and so many of its own in doubt."""

    pk = models.CompositePrimaryKey("unit", "period")
    unit = models.CharField(max_length=5)
    period = models.CharField(max_length=10)
    last_key = models.BigIntegerField()
    in_doubt = models.PositiveIntegerField()

    without_rowid = True

    def __str__(self) -> str:
        return self.period
