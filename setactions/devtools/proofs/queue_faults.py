"""The proof for the queue: whatever takes part fails at random moments, and all batches and app status runs end.

On SQLite all processes share a host. On PostgreSQL each has a host of its own, as far as one machine can act that out:
two servers and three workers, which share databases, queue and keys, and no file.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from socket import socket
from subprocess import Popen

import redis

from setactions.devtools.proofs.batch_kills import CALLS_AT_ONCE, CHUNK, LATENCY_S, Fleet, Operator
from setactions.devtools.proofs.campaign import Remains
from setactions.devtools.proofs.clients import MAIN
from setactions.devtools.proofs.reconciler import read_report, start_reconcile
from setactions.devtools.proofs.site import HOST, OPEN_AFTER_S, ProofError, Server, Site, kill, unused_port, wait_for
from setactions.devtools.simulator import Simulator

WORKERS, SERVERS = 3, 2  # one server on SQLite
CONTROL = "TEST_POSTGRES_CONTROL"  # a program that restarts the PostgreSQL server, with the arguments of pg_ctl
LEASE_S = 8  # longer than a call and its recording
QUEUE_LOG = "queue"
APP_RUN, READS_PER_MINUTE = 30, 1000  # customers, of whom some eight a second are read
TMS_FAULTS = ("", "", "fault:http:429:0", "fault:reset-after", "fault:reset-before")


def run_queue_faults(folder: Path, *, faults: int, seed: int, say: Callable[[str], None], server: str = "") -> Remains:
    """For each of so many `faults` start a batch and an app status run on the pages, and let that happen meanwhile.

    `folder` is empty, `say` gets a line now and then; `server` is a PostgreSQL server, which CONTROL restarts. Whatever
    is started is gone afterwards. Raise ProofError if something cannot be brought up, or a batch does not end.
    """
    if shutil.which("redis-server") is None:
        raise ProofError("Redis is not installed (Debian: apt-get install redis-server).")
    rng = random.Random(f"{seed} queue")  # noqa: S311 (repeatable, not secret)
    with ExitStack() as stack:
        tms = stack.enter_context(Simulator(latency_s=LATENCY_S))
        port = stack.enter_context(unused_port())  # until Redis listens there
        settings = {"TMS_BATCH_CHUNK": CHUNK, "TMS_MAX_CIDS_PER_CALL": CHUNK, "TMS_BATCH_CALLS": CALLS_AT_ONCE}
        settings |= {"TMS_BATCH_LEASE_S": LEASE_S, "TMS_READS_PER_MINUTE": READS_PER_MINUTE}
        queue = {"TMS_BATCH_ENGINE": "celery", "CELERY_BROKER_URL": f"redis://{HOST}:{port.getsockname()[1]}/0"}
        site = stack.enter_context(Site(folder, {MAIN: tms.url}, server, **settings, **queue))
        site.set_up()
        parts = _Parts(site, port, Operator(site, tms, rng), rng, server, say)
        say(f"Redis, {WORKERS} workers and {len(parts.servers)} server{'s' if server else ''} are up.")
        fleets = []
        kinds = [*parts.faults]
        for count in range(faults):
            tms.script(rng.choice(TMS_FAULTS))
            fleets.append(parts.carry_through(kinds[count % len(kinds)], tms))
            say(f"{count + 1:,} of {faults:,} faults")
        time.sleep(OPEN_AFTER_S + 0.5)  # reconcile goes by the age of attempts; there is no event to wait for
        reports = [read_report(site, start_reconcile(site, with_token=True)) for _ in range(2)]
        for fleet in fleets:
            parts.operator.run_rest(fleet)
        say("Reconciled, and resumed with what was found not applied.")
        surprises = parts.problems + parts.end()
        # What was recorded last may have waited for a group of the audit: its Job is there, and closes it.
        reports.append(read_report(site, start_reconcile(site, with_token=True)))
        facts = parts.operator.facts | {"faults": faults, "closed by reconcile": sum(one.closed for one in reports)}
        customers = [cid for fleet in fleets for cid in fleet.cids]
        surprises += site.audit_problems()
        site.leave_files()
        return Remains(folder, tms.calls(), [], facts, surprises, reports[-1], customers)


class _Parts:
    """All processes of the site, and what may befall them."""

    def __init__(
        self,
        site: Site,
        port: socket,
        operator: Operator,
        rng: random.Random,
        server: str,
        say: Callable[[str], None],
    ) -> None:
        self.operator, self._say = operator, say
        self.servers = [operator.server]
        self._site, self._port, self._random = site, port.getsockname()[1], rng
        self._client = redis.Redis(HOST, self._port)
        port.close()
        self._start_queue()
        self._started = 0
        self._workers = [self._new_worker() for _ in range(WORKERS)]
        self.faults: dict[str, Callable[[], AbstractContextManager[None]]] = {
            "worker killed": self._worker_killed,
            "queue restarted": self._queue_restarted,
            "server killed": self._server_killed,
        }
        if server:
            self.servers += [Server(site, number, **site.new_host()) for number in range(2, SERVERS + 1)]
            self.faults |= {"server frozen": self._server_frozen, "database restarted": self._database_restarted}
        self.faults |= {
            "worker ended": self._worker_ended,
            "worker frozen": self._worker_frozen,
            "queue emptied": self._queue_emptied,
            "queue full": self._queue_full,
        }
        for each in self.servers:
            each.wait_until_healthy()
        self._turns = cycle(self.servers)
        self.problems: list[str] = []

    def carry_through(self, fault: str, tms: Simulator) -> Fleet:
        """Start a batch, let `fault` happen while it runs, and wait until it has ended."""
        self.operator.server = next(self._turns)
        calls = _sent(tms)
        app_run = self.operator.start_app_run(self.operator.new_cids(APP_RUN))
        fleet = self.operator.start_on_pages()
        number = self._random.randrange(len(fleet.cids) // CHUNK)
        wait_for(lambda: _sent(tms) - calls >= number or not self.operator.is_carried(fleet), "No task was done")
        self.operator.facts[fault] += 1
        with self.faults[fault]():
            wait_for(lambda: not self.operator.is_carried(fleet), f"Batch {fleet.batch_id} did not end after: {fault}")
        self.problems += self._end_of_app_run(app_run)
        reason = self.operator.reason_to_stop(fleet)
        self.operator.facts["batches that stopped"] += reason is not None
        if reason is not None:
            self._say(f"The batch stopped after {fault}: {reason}")
        return fleet

    def _end_of_app_run(self, run_id: str) -> list[str]:
        """Wait until an app status run is over; return a sentence for each thing that is wrong with it."""

        def is_over() -> bool:
            return self.operator.problems_of_app_run(run_id) is not None

        wait_for(is_over, f"App status run {run_id} did not end")
        self.operator.facts["app status runs"] += 1
        return self.operator.problems_of_app_run(run_id) or []

    def end(self) -> list[str]:
        """End all processes; return a sentence for each worker that did not end as it should on SIGTERM."""
        for worker in self._workers:
            worker.terminate()
        codes = [worker.wait() for worker in self._workers]
        for server in self.servers:
            server.kill()
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

    def _new_worker(self) -> "Popen[str]":
        self._started += 1
        options = ["worker", "--concurrency", "3", "--hostname", f"worker{self._started}@%h"]
        program = [sys.executable, "-m", "celery", "-A", "tmsdash", *options]
        return self._site.spawn_program("worker", *program, **self._site.new_host())

    # What happens comes before the `yield`; after it, when the batch has ended, what was missing is there again.

    @contextmanager
    def _queue_emptied(self) -> Iterator[None]:
        self._client.flushall()
        yield

    @contextmanager
    def _queue_full(self) -> Iterator[None]:
        self._client.config_set("maxmemory", "1mb")  # which is less than it needs for itself
        time.sleep(LEASE_S)  # so long that leases must be extended without it
        self._client.config_set("maxmemory", "0")
        yield

    @contextmanager
    def _queue_restarted(self) -> Iterator[None]:
        kill(self._queue)
        self._start_queue()
        yield

    @contextmanager
    def _worker_killed(self) -> Iterator[None]:
        kill(self._workers.pop(0))
        yield
        self._workers.append(self._new_worker())

    @contextmanager
    def _worker_ended(self) -> Iterator[None]:
        worker = self._workers.pop(0)
        worker.terminate()
        self._workers.append(self._new_worker())
        worker.wait()
        yield

    @contextmanager
    def _worker_frozen(self) -> Iterator[None]:
        with _frozen(self._workers[0].pid):
            time.sleep(LEASE_S)  # so long that others take it for dead
        yield

    @contextmanager
    def _server_killed(self) -> Iterator[None]:
        self.operator.server.kill()
        yield
        self.operator.server.start()
        self.operator.server.wait_until_healthy()

    @contextmanager
    def _server_frozen(self) -> Iterator[None]:
        with _frozen(self.operator.server.pid):
            yield

    @contextmanager
    def _database_restarted(self) -> Iterator[None]:
        subprocess.run([os.environ[CONTROL], "restart", "-m", "immediate"], check=True)  # noqa: S603
        yield


def _sent(tms: Simulator) -> int:
    """Return how many calls have asked for an action."""
    return sum(bool(call.action) for call in tms.calls())


@contextmanager
def _frozen(group: int) -> Iterator[None]:
    """Freeze all processes of a group during the block."""
    os.killpg(group, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(group, signal.SIGCONT)
