"""What lists and the summary read in place of attempts and entries, and what is made anew from these at any time."""

from django.db import models

from audit.models.columns import USER_ID_LENGTH
from tmsdash.db.day_ranges import DayRange


class AttemptDay(DayRange):
    """The keys of the attempts of a day."""


class EntryDay(DayRange):
    """The keys of the entries of a day."""


class MonthTally(models.Model):
    """How many attempts of a month had all of this in common, and of how many customers, see audit.tallies."""

    month = models.CharField(max_length=7)
    user_id = models.CharField(max_length=USER_ID_LENGTH)
    action_code = models.PositiveSmallIntegerField(null=True)
    cluster_url = models.CharField(max_length=300)
    source = models.CharField(max_length=16)
    outcome = models.CharField(max_length=24)
    attempts = models.PositiveIntegerField()
    customers = models.PositiveBigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["month"], name="tally_by_month")]

    def __str__(self) -> str:
        return f"{self.month}: {self.attempts}"


class DayTally(models.Model):
    """How many attempts of a day of a tallied month had an outcome, and of how many customers."""

    day = models.CharField(max_length=10)
    outcome = models.CharField(max_length=24)
    attempts = models.PositiveIntegerField()
    customers = models.PositiveBigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["day", "outcome"], name="tally_once_per_day")]

    def __str__(self) -> str:
        return f"{self.day}: {self.attempts}"


class TalliedMonth(models.Model):
    """A month that was tallied when `last_key` was the newest attempt's, and so many of its own were in doubt."""

    month = models.CharField(max_length=7, primary_key=True)
    last_key = models.BigIntegerField()
    in_doubt = models.PositiveIntegerField()

    def __str__(self) -> str:
        return self.month
