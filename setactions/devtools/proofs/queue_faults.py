"""The proof for batches in the queue: workers, servers and the queue itself fail at random moments; all batches end."""

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from subprocess import Popen

import redis

from setactions.devtools.proofs.batch_kills import CALLS_AT_ONCE, CHUNK, LATENCY_S, Fleet, Operator
from setactions.devtools.proofs.campaign import Remains
from setactions.devtools.proofs.clients import MAIN
from setactions.devtools.proofs.reconciler import read_report, start_reconcile
from setactions.devtools.proofs.site import HOST, OPEN_AFTER_S, ProofError, Site, kill, unused_port, wait_for
from setactions.devtools.simulator import Simulator

WORKERS = 3
LEASE_S = 8  # longer than a call and its recording
QUEUE_LOG = "queue"
TMS_FAULTS = ("", "", "fault:http:429:0", "fault:reset-after", "fault:reset-before")


def run_queue_faults(folder: Path, *, faults: int, seed: int, say: Callable[[str], None]) -> Remains:
    """Start a batch on the pages for each of so many `faults`, let that happen while it runs, and wait until it ends.

    `folder` is empty, `say` gets a line now and then. Whatever is started is gone afterwards. Raise ProofError if
    something cannot be brought up, or a batch does not end.
    """
    if shutil.which("redis-server") is None:
        raise ProofError("Redis is not installed (Debian: apt-get install redis-server).")
    rng = random.Random(f"{seed} queue")  # noqa: S311 (repeatable, not secret)
    with ExitStack() as stack:
        tms = stack.enter_context(Simulator(latency_s=LATENCY_S))
        with unused_port() as port:
            number = port.getsockname()[1]
        settings = {"TMS_BATCH_CHUNK": CHUNK, "TMS_MAX_CIDS_PER_CALL": CHUNK, "TMS_BATCH_CALLS": CALLS_AT_ONCE}
        settings |= {"TMS_BATCH_LEASE_S": LEASE_S}
        queue = {"TMS_BATCH_ENGINE": "celery", "CELERY_BROKER_URL": f"redis://{HOST}:{number}/0"}
        site = stack.enter_context(Site(folder, {MAIN: tms.url}, **settings, **queue))
        site.set_up()
        parts = _Parts(site, number, Operator(site, tms, rng), rng)
        say(f"A server, Redis and {WORKERS} workers are up.")
        fleets = []
        kinds = [*parts.faults]
        for count in range(faults):
            tms.script(rng.choice(TMS_FAULTS))
            fleets.append(parts.carry_through(kinds[count % len(kinds)], len(tms.calls()), tms))
            say(f"{count + 1:,} of {faults:,} faults")
        time.sleep(OPEN_AFTER_S + 0.5)  # reconcile goes by the age of attempts; there is no event to wait for
        reports = [read_report(site, start_reconcile(site, with_token=True)) for _ in range(2)]
        for fleet in fleets:
            parts.operator.run_rest(fleet)
        say("Reconciled, and resumed with what was found not applied.")
        surprises = parts.end()
        # What was recorded last may have waited for a group of the audit: its Job is there, and closes it.
        reports.append(read_report(site, start_reconcile(site, with_token=True)))
        facts = parts.operator.facts | {"faults": faults, "closed by reconcile": sum(one.closed for one in reports)}
        customers = [cid for fleet in fleets for cid in fleet.cids]
        surprises += site.audit_problems()
        return Remains(folder, tms.calls(), [], facts, surprises, reports[-1], customers)


class _Parts:
    """All processes of the site, and what may befall them."""

    def __init__(self, site: Site, port: int, operator: Operator, rng: random.Random) -> None:
        self.operator = operator
        self._site, self._port, self._random = site, port, rng
        self._client = redis.Redis(HOST, port)
        self._start_queue()
        self._started = 0
        self._workers = [self._new_worker() for _ in range(WORKERS)]
        self.faults: dict[str, Callable[[], None]] = {
            "worker killed": self._kill_worker,
            "worker ended": self._end_worker,
            "worker frozen": self._freeze_worker,
            "queue emptied": self._empty_queue,
            "queue restarted": self._restart_queue,
            "server killed": self._kill_server,
        }

    def carry_through(self, fault: str, calls: int, tms: Simulator) -> Fleet:
        """Start a batch, let `fault` happen while it runs, and wait until it has ended."""
        fleet = self.operator.start_on_pages()
        number = self._random.randrange(len(fleet.cids) // CHUNK)
        wait_for(lambda: len(tms.calls()) - calls >= number or not self.operator.is_carried(fleet), "No task was done")
        self.operator.facts[fault] += 1
        self.faults[fault]()
        wait_for(lambda: not self.operator.is_carried(fleet), f"Batch {fleet.batch_id} did not end after: {fault}")
        return fleet

    def end(self) -> list[str]:
        """End all processes; return a sentence for each worker that did not end as it should on SIGTERM."""
        for worker in self._workers:
            worker.terminate()
        codes = [worker.wait() for worker in self._workers]
        self.operator.server.kill()
        kill(self._queue)
        return [f"a worker ended with {code}" for code in codes if code]

    def _start_queue(self) -> None:
        options = ["--port", str(self._port), "--bind", HOST, "--save", "", "--appendonly", "no"]
        self._queue = self._site.spawn_program(QUEUE_LOG, "redis-server", *options, "--dir", str(self._site.folder))
        wait_for(self._answers, "Redis did not start")

    def _answers(self) -> bool:
        try:
            return bool(self._client.ping())
        except redis.ConnectionError:
            return False

    def _empty_queue(self) -> None:
        self._client.flushall()

    def _restart_queue(self) -> None:
        kill(self._queue)
        self._start_queue()

    def _new_worker(self) -> "Popen[str]":
        self._started += 1
        options = ["worker", "--concurrency", "3", "--hostname", f"worker{self._started}@%h"]
        return self._site.spawn_program("worker", sys.executable, "-m", "celery", "-A", "tmsdash", *options)

    def _kill_worker(self) -> None:
        kill(self._workers.pop(0))
        self._workers.append(self._new_worker())

    def _end_worker(self) -> None:
        worker = self._workers.pop(0)
        worker.terminate()
        self._workers.append(self._new_worker())
        worker.wait()

    def _freeze_worker(self) -> None:
        os.killpg(self._workers[0].pid, signal.SIGSTOP)
        time.sleep(LEASE_S)  # so long that others take it for dead
        os.killpg(self._workers[0].pid, signal.SIGCONT)

    def _kill_server(self) -> None:
        self.operator.server.kill()
        self.operator.server.start()
        self.operator.server.wait_until_healthy()
