"""What every page costs after years of use, beside the first weeks: `manage.py bench years`.

It walks through two made-up installations, which are made for it or given, and fails if a page costs more than
MAX_RATIO times as much among many jobs as among few, or more than MAX_MS. Less than LEAST_MS counts as LEAST_MS:
there, other work on the machine makes more of a difference. A page that shows more among many jobs, because more of
them match, may cost more by as much as it is larger. What is beyond a limit is measured again in both
installations, in turn, because one bad moment is enough for a wrong figure and cannot make a good one.

The cost is CPU on SQLite, which runs in the same process. On PostgreSQL it is time, which other work prolongs.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from django.conf import settings
from django.db import connections

from setactions.devtools.benchmarks import measurement
from setactions.devtools.benchmarks.installation import installation, manage
from setactions.devtools.benchmarks.measurement import Comparison, say, scaled
from setactions.devtools.demo_data.scenario import CLUSTERS
from tmsdash.env import read_names

FEW, MANY = 10_000, 1_000_000  # jobs
MAX_RATIO, MAX_MS, LEAST_MS = 1.5, 100.0, 10.0
CHOICES, PAIRED = 100, 3  # of each filter, alone and beside another one
AGAIN = 3  # times, for what is beyond a limit
QUICK_LOOK, QUICK_PAGES = 0.01, 25  # of everything, and for each visitor: only whether it works can be seen then
WALK = "setactions.devtools.site_walk"
TMS_CLUSTERS = ",".join(f"demo{number}={origin}" for number, origin in enumerate(CLUSTERS, start=1))


class Walk:
    """A process that walks through an installation, and what it says: the ms of each page, and what went wrong."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        """Read what the process says of all pages; that takes minutes."""
        self._process = process
        self._unit = "cpu_ms" if connections["audit"].vendor == "sqlite" else "wall_ms"
        self.jobs = int(self._line() or 0)
        self.costs: dict[str, float] = {}
        self.sizes: dict[str, int] = {}
        self.errors: list[str] = []
        self._read()

    def measure_again(self, names: Sequence[str]) -> None:
        """Measure pages once more, those of `names` that are in this installation; keep what is less."""
        print(json.dumps([name for name in names if name in self.costs]), file=self._process.stdin, flush=True)
        self._read()

    def _read(self) -> None:
        while line := self._line():
            sample = json.loads(line)
            name, error = sample["name"], sample["error"]
            if error:
                self.errors.append(f"{name}: HTTP {error}")
            else:
                self.sizes[name] = sample["size"]
                self.costs[name] = min(self.costs.get(name, sample[self._unit]), sample[self._unit])

    def _line(self) -> str:
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise RuntimeError("a walk has ended; see above")
        return line.strip()


def years() -> bool:
    """Compare all pages among many jobs with the same among few; say which are beyond the limits."""
    jobs = scaled(FEW), scaled(MANY if measurement.scale > QUICK_LOOK else 10 * FEW)
    with ExitStack() as stack:
        few, many = (
            stack.enter_context(_walk(stack.enter_context(_installation(count, env_file))))
            for count, env_file in zip(jobs, measurement.env_files or ("", ""), strict=True)
        )
        for _ in range(min(AGAIN, measurement.rounds)):
            beyond = [name for name in many.costs if not is_within_limits(name, few, many)]
            for walk in (few, many):
                walk.measure_again(beyond)
    return _report(few, many)


def _report(few: Walk, many: Walk) -> bool:
    for error in (*few.errors, *many.errors):
        say(f"years: {error}")
    for name, cost in sorted(many.costs.items(), key=lambda item: -item[1]):
        if not is_within_limits(name, few, many):
            compared = f"{few.costs[name]:.1f} ms among {few.jobs:,}" if name in few.costs else "not there among few"
            say(f"years: {name}: {cost:.1f} ms among {many.jobs:,} jobs, {compared}: BEYOND ITS LIMIT")
    both = [name for name in many.costs if name in few.costs]
    slowest, grown = max(many.costs, key=many.costs.__getitem__), max(both, key=lambda name: _ratio(name, few, many))
    beside = f"the same among {few.jobs:,} jobs"
    passed = not few.errors + many.errors
    for name, what, limit, bound in (
        (slowest, f"the slowest of {len(many.costs):,} pages among {many.jobs:,} jobs", None, MAX_MS),
        (grown, f"the one of {len(both):,} that grew most", MAX_RATIO, None),
    ):
        costs, few_costs = ([max(walk.costs.get(name, 0), LEAST_MS)] for walk in (many, few))
        passed &= Comparison(costs, few_costs).report("years", f"{what}: {name}", beside, limit, bound=bound)
    return passed


def is_within_limits(name: str, few: Walk, many: Walk) -> bool:
    """Tell whether a page costs no more among many jobs than it may."""
    return many.costs[name] <= MAX_MS and (name not in few.costs or _ratio(name, few, many) <= MAX_RATIO)


def _ratio(name: str, few: Walk, many: Walk) -> float:
    """Return how many times as much a page costs, as far as it does not only show more."""
    larger = max(1, many.sizes[name] / max(few.sizes[name], 1))
    return max(many.costs[name], LEAST_MS) / max(few.costs[name], LEAST_MS) / larger


@contextmanager
def _installation(jobs: int, env_file: str) -> Iterator[Mapping[str, str]]:
    """Yield the environment of an installation: that of a file of settings, or one that is made with so many jobs."""
    if env_file:
        others = {name: value for name, value in os.environ.items() if name not in read_names}
        yield others | {"ENV_FILE": env_file}
        return
    with installation(on_postgresql=connections["audit"].vendor == "postgresql") as environment:
        manage(environment, "fill_demo_data", f"--jobs={jobs}", quiet=True)
        yield environment


@contextmanager
def _walk(environment: Mapping[str, str]) -> Iterator[Walk]:
    # For a quick look no pairs, a choice or two of each filter, and only the users with the longest lists.
    most = 0 if measurement.scale > QUICK_LOOK else QUICK_PAGES
    options = map(str, (scaled(CHOICES), round(PAIRED * min(measurement.scale, 1)), measurement.rounds, most))
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-W", "ignore", "-m", WALK, *options],
        cwd=settings.BASE_DIR,
        env={**environment, "TMS_CLUSTERS": TMS_CLUSTERS},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Walk(process)  # at the end its input is closed, and it ends
