"""What Activity is narrowed to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jobs.activity.choices import ShownOutcome, ShownSource


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What entries have to meet, all of it.

    `conditions` are on columns that attempts and batches share: user, action, cluster and time. `batches_of` is the
    only user whose batches may be seen, None if all may be. An id `begins` with so many hexadecimal digits; a `note`
    holds a text.
    """

    conditions: Mapping[str, Any] = field(default_factory=dict)
    outcome: ShownOutcome | None = None
    source: ShownSource | None = None
    customer: str = ""
    begins: str = ""
    note: str = ""
    batches_of: str | None = None

    @property
    def names_attempts(self) -> bool:
        """Whether it speaks of single attempts, of which there are few."""
        return bool(self.customer or self.begins)

    @property
    def period(self) -> tuple[datetime | None, datetime | None]:
        """The first and the last moment; None where there is no bound."""
        return self.conditions.get("created_at__gte"), self.conditions.get("created_at__lte")

    @property
    def columns(self) -> dict[str, Any]:
        """The conditions without those on the time."""
        return {name: value for name, value in self.conditions.items() if not name.startswith("created_at")}


@dataclass(frozen=True)
class Count:
    """How many there are; at least so many, unless it `is_exact`."""

    number: int
    is_exact: bool
