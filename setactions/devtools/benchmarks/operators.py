"""Throughput with many operators at once: `manage.py bench operators`."""

import asyncio
import json
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from django.conf import settings

from jobs.models import Job
from setactions.devtools.benchmarks import measurement
from setactions.devtools.benchmarks.measurement import PER_S, Comparison, say, spread
from setactions.devtools.benchmarks.servers import (
    CALL_THEN_RECORD,
    CSRF,
    Target,
    action_body,
    cpu_s,
    new_cids,
    product,
    stand_in,
    stub_tms,
)
from setactions.devtools.proofs.site import HOST, ProofError, wait_for

OPERATORS, FEW = (1, 8, 32, 64), (1, 8)
SCALE_OF_ALL = 0.1  # below it, few operators do
LATENCIES_S = (0.0, 0.3)
CUSTOMERS = 10
WARM_UP_S = 1.5
MEASURED_S = 6.0
LEAST_S = 0.3
PAUSE_S = 0.3  # of an operator who was refused
MANY = 32
# By the latency of TMS: what MANY operators get at least, as a share of the floor or a second, and their p99 in ms.
RATIO_LIMITS, LEAST_PER_S, MOST_MS = {0.0: 1.0}, {0.3: 90.0}, {0.0: 400.0}


@dataclass
class Tally:
    """What the operators were answered."""

    times_ms: list[float] = field(default_factory=list)
    """Of the answers within the measured time."""
    accepted: list[str] = field(default_factory=list)
    """The ids of all Jobs that were promised, before the measured time and after it, too."""
    refused: Counter[str] = field(default_factory=Counter)
    server_ms: float = 0.0
    """CPU of all processes of the server, for each answer."""
    load_ms: float = 0.0
    """CPU of this process, for each answer."""
    seconds: float = 0.0
    """The measured time."""
    is_over: bool = False

    @property
    def rate(self) -> float:
        """Set Actions a second."""
        return len(self.times_ms) / self.seconds

    def quantile(self, share: float) -> float:
        """Return the ms within which this share of the answers came."""
        ordered = sorted(self.times_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def operators() -> bool:
    """Compare rate and slowest answers with those of calling before recording; each accepted action has its Job."""
    passed = True
    seconds = max(MEASURED_S * measurement.scale, LEAST_S)
    with ExitStack() as stack:
        origins = {f"t{latency_s * 1000:.0f}": stack.enter_context(stub_tms(latency_s)) for latency_s in LATENCIES_S}
        counts = OPERATORS if measurement.scale >= SCALE_OF_ALL else FEW
        product_server = stack.enter_context(product(origins, max(counts)))
        stand_in_server = stack.enter_context(stand_in(max(counts), settings.WEB_THREADS))
        for latency_s, origin in zip(LATENCIES_S, origins.values(), strict=True):
            for count in counts:
                tallies: tuple[list[Tally], list[Tally]] = ([], [])
                for _ in range(measurement.rounds):
                    known = Job.objects.count()
                    for target, side in zip((product_server, stand_in_server), tallies, strict=True):
                        side.append(asyncio.run(_load(target, origin, count, seconds)))
                    passed &= has_all_jobs(tallies[0][-1].accepted, known)
                passed &= _report(latency_s, count, *tallies)
    return passed


def _report(latency_s: float, count: int, product_tallies: list[Tally], old_tallies: list[Tally]) -> bool:
    case = f"{count} operator{'s' * (count > 1)}, TMS at {latency_s * 1000:.0f} ms"
    for side, tallies in (("the product", product_tallies), (CALL_THEN_RECORD, old_tallies)):
        refused: Counter[str] = sum((tally.refused for tally in tallies), Counter())
        say(
            f"operators: {case}, {side}: p50 {spread(tally.quantile(0.5) for tally in tallies)} ms; "
            f"CPU for each: server {spread(tally.server_ms for tally in tallies)} ms, "
            f"load {spread(tally.load_ms for tally in tallies)} ms; "
            f"{sum(len(tally.accepted) for tally in tallies):,} accepted, refused: {dict(refused) or 'none'}"
        )
    is_limited = count == MANY
    passed = Comparison([tally.rate for tally in product_tallies], [tally.rate for tally in old_tallies], PER_S).report(
        "operators",
        f"Set Actions of {case}",
        CALL_THEN_RECORD,
        RATIO_LIMITS.get(latency_s) if is_limited else None,
        bound=LEAST_PER_S.get(latency_s) if is_limited else None,
    )
    slowest = Comparison(
        [tally.quantile(0.99) for tally in product_tallies], [tally.quantile(0.99) for tally in old_tallies]
    )
    bound = MOST_MS.get(latency_s) if is_limited else None
    return slowest.report("operators", f"p99 of {case}", CALL_THEN_RECORD, bound=bound) and passed


def has_all_jobs(job_ids: list[str], known: int) -> bool:
    """Tell whether exactly these Jobs, each once, have come to those `known` before; some may take a moment."""
    expected = known + len(job_ids)
    missing = set(job_ids)

    def are_recorded() -> bool:
        ids = list(missing)
        for start in range(0, len(ids), 500):
            recorded = Job.objects.filter(job_id__in=ids[start : start + 500]).values_list("job_id", flat=True)
            missing.difference_update(map(str, recorded))
        return not missing

    with suppress(ProofError):
        wait_for(are_recorded, "Jobs are missing")
    count = Job.objects.count()
    if missing or count != expected:
        say(f"operators: {len(missing)} accepted actions have NO JOB, and there are {count} Jobs instead of {expected}")
    return not missing and count == expected


async def _load(target: Target, origin: str, count: int, seconds: float) -> Tally:
    """Let so many operators send one Set Action after the other; measure for so long, and until there is an answer."""
    tally = Tally()
    begin = time.perf_counter() + min(WARM_UP_S, seconds)
    work = [asyncio.create_task(_operate(target, number, origin, tally, begin)) for number in range(count)]
    await asyncio.sleep(begin - time.perf_counter())
    server_s, load_s = cpu_s(target.pid), time.process_time()
    await asyncio.sleep(begin + seconds - time.perf_counter())
    while not tally.times_ms and not any(task.done() for task in work):
        await asyncio.sleep(0.05)
    tally.is_over, tally.seconds = True, time.perf_counter() - begin
    server_s, load_s = cpu_s(target.pid) - server_s, time.process_time() - load_s
    await asyncio.gather(*work)
    tally.server_ms, tally.load_ms = (used_s / len(tally.times_ms) * 1000 for used_s in (server_s, load_s))
    return tally


async def _operate(target: Target, number: int, origin: str, tally: Tally, begin: float) -> None:
    """Send until it is over; what is answered after `begin` counts."""
    reader, writer = await asyncio.open_connection(HOST, target.port)
    cookie = f"Cookie: sessionid={target.sessions[number]}; csrftoken={CSRF}\r\nX-CSRFToken: {CSRF}\r\n"
    head = f"POST /proxy_fetch HTTP/1.1\r\nHost: {HOST}\r\n{cookie}Content-Type: application/json\r\n"
    while not tally.is_over:
        body = action_body(origin, new_cids(CUSTOMERS))
        started = time.perf_counter()
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        status, answer = await _read_answer(reader)
        ended = time.perf_counter()
        if answer.get("outcome") != "accepted":
            tally.refused[f"HTTP {status}"] += 1
            await asyncio.sleep(PAUSE_S)
            continue
        tally.accepted.append(answer["job_id"])
        if ended >= begin and not tally.is_over:
            tally.times_ms.append((ended - started) * 1000)
    writer.close()
    await writer.wait_closed()


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Return the status of an answer and its JSON; nothing in the place of another body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    body = await reader.readexactly(int(head.partition("content-length:")[2].split("\r\n", 1)[0]))
    return int(head.split(" ", 2)[1]), json.loads(body) if "application/json" in head else {}
