"""How long things took, counted by all workers of a server together, for /metrics.

Each worker counts in its slot of the memory that they share, and whoever is asked adds up the slots of all. That needs
no file, and nothing is left behind by a worker that dies: what it counted stays, and its successor counts on. It costs
some two microseconds to count one time; prometheus-client's own way for several processes, files that are mapped, costs
as much, but leaves a file of each process that ever was, which every scrape has to read.

Begun anew, a server counts from 0, as Prometheus expects. What other processes do, commands and workers of Celery, is
not in it.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from django.conf import settings

from tmsdash.server import shared

CALL_BOUNDS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300)
OWN_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
CLUSTERS = 32  # with a histogram of their own; what more there are share the last one
CELLS = 15  # of one: a count for each bound, one of what is beyond them, and the sum in microseconds
_MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Histogram:
    """How often something took how long, in the `number`th place of each slot."""

    number: int
    bounds_s: Sequence[float]

    def observe(self, seconds: float) -> None:
        """Count one time."""
        at = shared.LASTING_AT + CELLS * self.number
        with shared.guard:
            shared.mine[at + bisect_left(self.bounds_s, seconds)] += 1
            shared.mine[at + CELLS - 1] += int(seconds * _MICROSECONDS)

    def read(self) -> tuple[list[int], float]:
        """Return how many were within each bound, those without one last, and the sum of all in seconds."""
        at = shared.LASTING_AT + CELLS * self.number
        cells = [sum(column) for column in zip(*(slot[at : at + CELLS] for slot in shared.slots), strict=True)]
        return list(accumulate(cells[:-1])), cells[-1] / _MICROSECONDS


# What became of each place is the same in all workers of a server, whose settings are the same.
OWN = Histogram(0, OWN_BOUNDS_S)
WRITES = {alias: Histogram(number, OWN_BOUNDS_S) for number, alias in enumerate(("default", "jobs", "audit"), start=1)}
_FIRST_OF_CLUSTERS = 1 + len(WRITES)


def calls_of(origin: str) -> Histogram:
    """Return the histogram of the calls to a cluster, by the place of its origin among TMS_CLUSTERS."""
    origins = [*settings.TMS_CLUSTERS.values()]
    number = origins.index(origin) if origin in origins[: CLUSTERS - 1] else CLUSTERS - 1
    return Histogram(_FIRST_OF_CLUSTERS + number, CALL_BOUNDS_S)


assert len(CALL_BOUNDS_S) == len(OWN_BOUNDS_S) == CELLS - 2  # noqa: S101 (of constants)
