"""What one Set Action costs, over all processes of a real server: `manage.py bench serve`."""

import http.client
import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings

from audit.models import Attempt
from setactions.devtools.benchmarks import measurement
from setactions.devtools.benchmarks.measurement import FLEET, Comparison, scaled
from setactions.devtools.benchmarks.plain_statements import PlainStatements
from setactions.devtools.benchmarks.servers import (
    CALL_THEN_RECORD,
    Target,
    action_body,
    new_cids,
    product,
    settled_cpu_s,
    spent_cpu_s,
    stand_in,
    stub_tms,
)
from setactions.devtools.proofs.site import wait_for

# Customers of one Set Action, and how many of these are measured at once: the system counts CPU in steps of 10 ms.
COUNTS = {1: 100, 10: 100, 150: 40, 5_000: 6, FLEET: 2}
SMALL = 150  # no share of it is taken for a quick run
USUAL_SIZE = 10
ADDED_SIZES = (1, 150, FLEET)  # for which no more time may be added than by what calls first
READS = 100
WARM_UP = 50
LEAST_MS = 0.01
READ, PLAIN_READ = "/api/jobs/mine", "a signed-in view that answers JSON"
# 1.5 times what GET /api/jobs/mine took when this limit was set: then 1.95 times that view.
READ_LIMIT = 2.9

Sample = tuple[float, float]
"""The ms of CPU and of wall time that one took."""


def serve() -> bool:
    """Compare Set Actions of five sizes with reads, bare calls, plain statements, and calling before recording."""
    sizes = {size: size if size <= SMALL else scaled(size) for size in COUNTS}
    counts = {sizes[size]: scaled(count) for size, count in COUNTS.items()}
    samples: dict[str, list[Sample]] = defaultdict(list)
    with (
        stub_tms(0) as tms,
        product({"bench": tms}, 1) as product_server,
        stand_in(1, settings.WEB_THREADS) as stand_in_server,
    ):
        for target in (product_server, stand_in_server):
            _actions(target, tms, USUAL_SIZE, scaled(WARM_UP))
            _reads(target, scaled(WARM_UP))
        floors = {size: _floor(product_server, tms, size) for size in counts}
        for _ in range(measurement.rounds):
            samples["read"].append(_reads(product_server, scaled(READS)))
            samples["plain read"].append(_reads(stand_in_server, scaled(READS)))
            for size, count in counts.items():
                samples[f"product {size}"].append(_actions(product_server, tms, size, count))
                samples[f"stand-in {size}"].append(_actions(stand_in_server, tms, size, count))
                samples[f"bare {size}"].append(_bare_calls(tms, size, count))
                samples[f"plain {size}"].append(_in_this_process(floors[size].write, count))
        for floor in floors.values():
            floor.close()
    return _report(samples, sizes)


def _report(samples: dict[str, list[Sample]], sizes: dict[int, int]) -> bool:
    """Report CPU and added time for `sizes`, by the size that each stands for."""
    cpu = {name: [used for used, _ in values] for name, values in samples.items()}
    wall = {name: [taken for _, taken in values] for name, values in samples.items()}
    passed = Comparison(cpu["read"], cpu["plain read"]).report("serve", f"CPU of GET {READ}", PLAIN_READ)
    for full_size, size in sizes.items():
        action, old_action, bare, plain = (f"{side} {size}" for side in ("product", "stand-in", "bare", "plain"))
        least = [call + writes for call, writes in zip(cpu[bare], cpu[plain], strict=True)]
        customers = f"{size:,} customer{'s' * (size > 1)}"
        what, is_usual = f"CPU of a Set Action for {customers}", full_size == USUAL_SIZE
        passed &= Comparison(cpu[action], least).report("serve", what, "bare call and plain statements")
        if is_usual:
            passed &= Comparison(cpu[action], cpu["read"]).report("serve", what, f"GET {READ}")
            passed &= Comparison(cpu[action], cpu["plain read"]).report("serve", what, PLAIN_READ, READ_LIMIT)
        limit = 1.0 if is_usual else None
        passed &= Comparison(cpu[action], cpu[old_action]).report("serve", what, CALL_THEN_RECORD, limit)
        added, old_added = (
            [max(taken - call, LEAST_MS) for taken, call in zip(wall[side], wall[bare], strict=True)]
            for side in (action, old_action)
        )
        limit = 1.0 if full_size in ADDED_SIZES else None
        what = f"time added to the call for {customers}"
        passed &= Comparison(added, old_added).report("serve", what, CALL_THEN_RECORD, limit)
    return passed


def _floor(server: Target, tms: str, size: int) -> PlainStatements:
    """Return what writes the rows of one Set Action of this size, which is carried out for that."""
    _actions(server, tms, size, 1)
    wait_for(lambda: not Attempt.objects.latest("pk").is_open, "the Set Action was not recorded")
    return PlainStatements(Path(settings.VAR_DIR))


def _actions(target: Target, tms: str, size: int, count: int) -> Sample:
    """Carry out so many Set Actions, one after the other."""
    bodies = [action_body(tms, new_cids(size)) for _ in range(count)]
    with target.request() as connection:

        def act() -> None:
            answer = json.loads(connection.post("/proxy_fetch", bodies.pop()))
            if answer["outcome"] != "accepted":
                raise RuntimeError(answer)

        return _over_processes(target, act, count)


def _reads(target: Target, count: int) -> Sample:
    with target.request() as connection:
        return _over_processes(target, lambda: connection.get(READ), count)


def _over_processes(target: Target, function: Callable[[], object], count: int) -> Sample:
    """Return what one took, of so many; the CPU of all processes of the server."""
    before, started = settled_cpu_s(target.pid), time.perf_counter()
    for _ in range(count):
        function()
    wall_s = time.perf_counter() - started
    return spent_cpu_s(target.pid, before) / count * 1000, wall_s / count * 1000


def _in_this_process(function: Callable[[], object], count: int) -> Sample:
    before, started = time.process_time(), time.perf_counter()
    for _ in range(count):
        function()
    wall_s = time.perf_counter() - started
    return (time.process_time() - before) / count * 1000, wall_s / count * 1000


def _bare_calls(tms: str, size: int, count: int) -> Sample:
    """Make so many calls, each on a connection of its own."""
    parts, payloads = urlsplit(tms), [{"action": "PE-Enable", "cids": new_cids(size)} for _ in range(count)]
    headers = {"Content-Type": "application/json", "Authorization": "Bearer bench"}

    def call() -> None:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        connection.request("POST", "/tms/v1/set/action", json.dumps(payloads.pop()).encode(), headers)
        json.loads(connection.getresponse().read())
        connection.close()

    return _in_this_process(call, count)
