"""Whether lists and the summary leave nothing out: ranges of days and tallies are what the rows make them.

Both are drawn from the rows, for speed alone. Who falsifies them hides rows that are all there, so they are compared
with the rows, which `projection` compares with the entries. `rebuild_lists` makes them anew.
"""

from collections.abc import Iterator

from django.db.models import Max

from audit import tallies
from audit.models import Attempt, AttemptDay, AuditEntry, EntryDay
from audit.proof.findings import Finding
from audit.proof.projection import NOT_UNDERSTOOD
from tmsdash.db import day_ranges
from tmsdash.db.broken_rows import BrokenRowError, broken_rows_named

STEP = "Run manage.py rebuild_lists."


def list_findings(last: int) -> Iterator[Finding]:
    """Yield what is wrong, while a transaction is open; `last` is the number of the chain's last entry."""
    newest = Attempt.objects.aggregate(key=Max("pk"))["key"] or 0
    ranges_of_attempts = day_ranges.problems(AttemptDay, Attempt, newest)
    # Entries may all be in an archive.
    ranges_of_entries = day_ranges.problems(EntryDay, AuditEntry, last)
    compared = {
        "days of attempts": ranges_of_attempts,
        "days of entries": ranges_of_entries,
        "summary": tallies.problems(),
    }
    for where, problems in compared.items():
        try:
            with broken_rows_named():
                yield from (Finding(where, f"{problem} {STEP}") for problem in problems)
        except BrokenRowError as error:
            yield Finding(where, f"Nobody can tell whether it is right. {error}")
        except NOT_UNDERSTOOD:
            yield Finding(where, "Nobody can tell whether it is right: what is stored there cannot be understood.")
