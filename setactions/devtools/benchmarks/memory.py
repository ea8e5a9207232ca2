"""What a process of a real server takes of memory: `manage.py bench memory`."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from django.contrib.auth.models import User

from setactions.devtools.benchmarks import measurement
from setactions.devtools.benchmarks.measurement import FLEET, MB, Comparison, scaled
from setactions.devtools.benchmarks.servers import Target, action_body, new_cids, process_tree, product, stub_tms

USER = "operator-0"  # the first of `product`, who may export as well here
LATENCY_S = 0.05
MOST_AT_REST_MB, MOST_MORE_MB = 120, 60
USUAL_SIZE, WARM_UP = 10, 3
OPERATORS, EACH = 50, 5  # so many at once, and Set Actions of each; the other threads of a worker are for pages
EXPORTS = "/admin/audit/attempt/export.csv", "/admin/audit/attempt/export.jsonl"
PEAK_FROM_NOW = "5"  # written to a process' clear_refs, see proc(5)


def memory() -> bool:
    """Compare the peaks of the largest process of a server with what it takes at rest: after a few Set Actions.

    There is one worker, which has to carry all lists that come at once; in each round it is a new one.
    """
    User.objects.create_superuser(USER)
    rests: list[float] = []
    peaks: dict[str, list[float]] = {}
    with stub_tms(LATENCY_S) as tms:
        for _ in range(measurement.rounds):
            with product({"bench": tms}, 1, WEB_WORKERS=1) as server:
                _act(server, tms, USUAL_SIZE, 1, WARM_UP)
                rests.append(max(_mb(pid, "VmRSS") for pid in process_tree(server.pid)))
                for what, work in _cases(server, tms):
                    peaks.setdefault(what, []).append(_peak_mb(server, work))
    passed = Comparison(rests, rests, MB).report("memory", "at rest", "at rest", bound=MOST_AT_REST_MB)
    for what, values in peaks.items():
        more = [peak - rest for peak, rest in zip(values, rests, strict=True)]
        bound = None if "operators" in what else MOST_MORE_MB  # the promise is about lists and exports
        passed &= Comparison(more, rests, MB).report("memory", f"more for {what}", "at rest", bound=bound)
    return passed


def _cases(server: Target, tms: str) -> list[tuple[str, Callable[[], None]]]:
    """Return what the server is asked, one after the other: what the first ones leave counts for the later ones."""
    fleet = scaled(FLEET)
    act = partial(_act, server, tms)
    return [
        *((f"{count} of {fleet:,} ids at once", partial(act, fleet, count)) for count in (1, 3, 4, 8)),
        ("exports of all of that", partial(_export, server)),
        (f"4 of {fleet:,} ids at once after exports", partial(act, fleet, 4)),
        (f"{OPERATORS} operators with {USUAL_SIZE} ids each", partial(act, USUAL_SIZE, OPERATORS, EACH)),
    ]


def _act(server: Target, tms: str, size: int, at_once: int, each: int = 1) -> None:
    """Let so many operators send Set Actions of so many ids at once, `each` one after the other."""

    def operate(_: int) -> None:
        with server.request() as connection:
            for _ in range(each):
                answer = json.loads(connection.post("/proxy_fetch", action_body(tms, new_cids(size))))
                if answer["outcome"] != "accepted":
                    raise RuntimeError(answer)

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(operate, range(at_once)))


def _export(server: Target) -> None:
    with server.request() as connection:
        [job] = json.loads(connection.get("/api/jobs/mine?limit=1"))["jobs"]
        for path in (*EXPORTS, f"/jobs/{job['job_id']}/customers.csv"):
            connection.get(path)


def _peak_mb(server: Target, work: Callable[[], None]) -> float:
    """Return the most MB that a process of the server took during the work."""
    processes = process_tree(server.pid)
    for pid in processes:
        Path(f"/proc/{pid}/clear_refs").write_text(PEAK_FROM_NOW)
    work()
    return max(_mb(pid, "VmHWM") for pid in processes)


def _mb(pid: int, name: str) -> float:
    """Return a figure of a process' status."""
    status = Path(f"/proc/{pid}/status").read_text()
    kilobytes = dict(line.split(":", 1) for line in status.splitlines())[name]
    return int(kilobytes.split()[0]) / 1024
