"""How the benchmarks measure: both sides in turn, medians, and one line for each comparison."""

import os
import platform
import sqlite3
import statistics
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

FLEET = 27_682  # the largest real fleet
NOBODY = "http://127.0.0.1:9"  # a cluster that is asked nothing
rounds = 9  # the median of so many is reported
scale = 1.0  # of the rows and customers that a benchmark makes


def scaled(count: int) -> int:
    """Return the share of `count` that is to be made, at least one."""
    return round(count * scale) or 1


@dataclass(frozen=True)
class Comparison:
    """The medians of the product and of the floor that it is measured against, in ms."""

    ours_ms: float
    floor_ms: float

    def report(self, name: str, what: str, floor: str, limit: float) -> bool:
        """Print the line of a comparison, with the machine's size; tell whether the ratio is within its limit."""
        ratio = self.ours_ms / self.floor_ms
        print(  # noqa: T201
            f"{name}: {what}: {self.ours_ms:.1f} ms; {floor}: {self.floor_ms:.1f} ms; ratio {ratio:.2f} (limit "
            f"{limit:g}); {os.cpu_count()} cores, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}",
            flush=True,
        )
        return ratio <= limit


def compare(
    ours: Callable[[], None], floor: Callable[[], None], before: Callable[[], None] = lambda: None
) -> Comparison:
    """Run both in turn, so that a noisy moment hits both."""
    times: dict[Callable[[], None], list[float]] = {ours: [], floor: []}
    for _ in range(rounds):
        for function in (ours, floor):
            before()
            times[function].append(_time_ms(function))
    return Comparison(statistics.median(times[ours]), statistics.median(times[floor]))


def median_ms(function: Callable[[], None]) -> float:
    """Return how long it takes, in ms."""
    return statistics.median(_time_ms(function) for _ in range(rounds))


def new_ids(count: int) -> list[str]:
    """Return so many ids that look like real ones."""
    return [uuid.uuid5(uuid.NAMESPACE_OID, str(number)).hex for number in range(count)]


def _time_ms(function: Callable[[], None]) -> float:
    started = time.perf_counter()
    function()
    return (time.perf_counter() - started) * 1000
