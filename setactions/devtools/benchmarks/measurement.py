"""How the benchmarks measure: all sides in turn, a ratio for each round, and one line for each comparison."""

import os
import platform
import sqlite3
import statistics
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from django.db import connections

FLEET = 27_682  # the largest real fleet
NOBODY = "http://127.0.0.1:9"  # a cluster that is asked nothing
MS, PER_S, MB = "ms", "a second", "MB"
rounds = 9  # the median of so many is reported
scale = 1.0  # of the rows and customers that a benchmark makes
env_files: tuple[str, str] | None = None  # of two existing installations, instead of those that `years` makes


def scaled(count: int) -> int:
    """Return the share of `count` that is to be made, at least one."""
    return round(count * scale) or 1


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a report: medians of the product and of its floor, and the ratio of both, round by round."""

    name: str
    what: str
    ours: float
    floor: str
    floor_value: float
    unit: str
    ratio: float
    least: float
    most: float
    limit: float | None
    bound: float | None

    @property
    def allowed(self) -> str:
        """What the limits are, in words; empty if there are none."""
        word = "at least" if self.unit == PER_S else "at most"
        limits = (f"{self.limit:g}" if self.limit else "", f"{self.bound:,g} {self.unit}" if self.bound else "")
        return f"{word} {' and '.join(filter(None, limits))}" if any(limits) else ""

    @property
    def is_within_limits(self) -> bool:
        """Whether ratio and figure are what they have to be; of a rate, more is better."""
        pairs = ((self.ratio, self.limit), (self.ours, self.bound))
        return all(not limit or (value >= limit if self.unit == PER_S else value <= limit) for value, limit in pairs)


rows: list[Row] = []
"""What was reported so far."""


@dataclass(frozen=True)
class Comparison:
    """What the product took in each round, and the floor that it is measured against."""

    ours: Sequence[float]
    floor: Sequence[float]
    unit: str = MS

    @property
    def median(self) -> float:
        """The product's."""
        return statistics.median(self.ours)

    def report(
        self, name: str, what: str, floor: str, limit: float | None = None, *, bound: float | None = None
    ) -> bool:
        """Print the line of a comparison; tell whether the ratio keeps its `limit`, and the figure its `bound`."""
        ratios = [ours / floor for ours, floor in zip(self.ours, self.floor, strict=True)]
        row = Row(
            name=name,
            what=what,
            ours=self.median,
            floor=floor,
            floor_value=statistics.median(self.floor),
            unit=self.unit,
            ratio=statistics.median(ratios),
            least=min(ratios),
            most=max(ratios),
            limit=limit,
            bound=bound,
        )
        rows.append(row)
        words = [f"{row.least:.2f} to {row.most:.2f}", *filter(None, [row.allowed])]
        beyond = "" if row.is_within_limits else ", BEYOND ITS LIMIT"
        say(
            f"{name}: {what}: {row.ours:.1f} {row.unit}; {floor}: {row.floor_value:.1f} {row.unit}; "
            f"ratio {row.ratio:.2f} ({'; '.join(words)}){beyond}; {machine()}"
        )
        return row.is_within_limits


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)  # noqa: T201


def machine() -> str:
    """Return what the figures depend on."""
    is_sqlite = connections["audit"].vendor == "sqlite"
    database = f"SQLite {sqlite3.sqlite_version}" if is_sqlite else "PostgreSQL"
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {database}"


def spread(values: Iterable[float]) -> str:
    """Return the median, the least and the most."""
    values = sorted(values)
    return f"{statistics.median(values):.1f} ({values[0]:.1f} to {values[-1]:.1f})"


def compare(
    ours: Callable[[], None],
    floor: Callable[[], None],
    before: Callable[[], None] = lambda: None,
    *,
    warm_up: bool = False,
) -> Comparison:
    """Run both in turn, so that a noisy moment hits both.

    With `warm_up` each runs once more at first, uncounted: modules, patterns of URLs and connections are loaded then,
    which a server does once, and which takes longer than a short run.
    """
    for function in (ours, floor) if warm_up else ():
        before()
        function()
    times: dict[Callable[[], None], list[float]] = {ours: [], floor: []}
    for _ in range(rounds):
        for function in (ours, floor):
            before()
            times[function].append(_time_ms(function))
    return Comparison(times[ours], times[floor])


def median_ms(function: Callable[[], None]) -> float:
    """Return how long it takes, in ms."""
    return statistics.median(_time_ms(function) for _ in range(rounds))


def new_ids(count: int) -> list[str]:
    """Return so many ids that look like real ones, always the same."""
    return [uuid.uuid5(uuid.NAMESPACE_OID, str(number)).hex for number in range(count)]


def _time_ms(function: Callable[[], None]) -> float:
    started = time.perf_counter()
    function()
    return (time.perf_counter() - started) * 1000
