"""The whole proof: a site under load whose servers are killed at random moments, and what is left of it in the end."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from setactions.devtools.proofs.clients import MAIN, UNREACHABLE, Client
from setactions.devtools.proofs.evidence import Shown
from setactions.devtools.proofs.reconciler import Reconciler, ReconcileReport, read_report, start_reconcile
from setactions.devtools.proofs.site import HOST, OPEN_AFTER_S, START_S, ProofError, Server, Site, unused_port
from setactions.devtools.simulator import Call, Simulator

SERVERS = 2
LATENCY_S = 0.01
MOST_PAUSE_S = 2.5  # that a healthy server is left in peace before it is killed
BOTH_AT_ONCE = 0.1  # the share of kills that hit both servers, as a power cut would
COMMON_CIDS = 40  # customers that several clients ask for, so that some cases are for a person
PROGRESS_LINES = 10


@dataclass(frozen=True)
class Remains:
    """What is left when the load is over, every process is killed, and reconcile has closed what it could."""

    folder: Path
    calls: Sequence[Call]
    shown: Sequence[Shown]
    facts: dict[str, int]
    surprises: Sequence[str]
    last_report: ReconcileReport
    customers: Sequence[str] = ()
    """Those of fleets, each of which must get its action exactly once."""


def run_campaign(
    folder: Path, *, kills: int, clients: int, seed: int, say: Callable[[str], None], server: str = ""
) -> Remains:
    """Carry out `kills` kills under the load of `clients` clients, with databases in `folder`, which is empty, or
    on a PostgreSQL `server`.

    `say` gets a line now and then. Whatever is started is gone afterwards, also after an exception.
    Raise ProofError if the site cannot be brought up, or a server ends by itself.
    """
    with ExitStack() as stack:
        closed_port = stack.enter_context(unused_port())
        closed_number = closed_port.getsockname()[1]
        tms = stack.enter_context(Simulator(latency_s=LATENCY_S))
        clusters = {MAIN: tms.url, UNREACHABLE: f"http://{HOST}:{closed_number}"}
        site = stack.enter_context(Site(folder, clusters, server))
        site.set_up()
        load = _Load(site, clusters, clients, seed)
        with load:
            say(f"{SERVERS} servers are up, {clients:,} clients are signed in.")
            _kill_at_random(load.servers, kills, random.Random(f"{seed} kills"), load.over, say)  # noqa: S311
        say(f"The load is over: {len(tms.calls()):,} calls. Waiting {OPEN_AFTER_S} s, then reconciling.")
        time.sleep(OPEN_AFTER_S + 0.5)  # reconcile goes by the age of attempts; there is no event to wait for
        # The clusters can be read now, all of them: what never reached the other one is found not applied.
        closed_port.close()
        other = stack.enter_context(Simulator(port=closed_number))
        reports = [read_report(site, start_reconcile(site, with_token=True)) for _ in range(2)]
        counted = sum((thread.facts for thread in load.threads), Counter())
        facts = {"kills": kills, **counted, "closed in the end": sum(report.closed for report in reports)}
        surprises = [surprise for thread in load.threads for surprise in thread.surprises]
        surprises += [f"reconcile needs a token for {name}, and had one" for name in reports[-1].need_token]
        surprises += site.audit_problems()
        site.leave_files()
        shown = [shown for client in load.clients for shown in client.shown]
        return Remains(folder, [*tms.calls(), *other.calls()], shown, facts, surprises, reports[-1])


class _Load:
    """Servers, clients and runs of reconcile. After the `with` block all of them are gone."""

    def __init__(self, site: Site, clusters: dict[str, str], clients: int, seed: int) -> None:
        self._site = site
        self.over = threading.Event()
        self.servers = [Server(site, number) for number in range(1, SERVERS + 1)]
        rng = random.Random(f"{seed} common")  # noqa: S311 (repeatable, not secret)
        common = [f"{rng.getrandbits(96):024x}" for _ in range(COMMON_CIDS)]
        urls = [server.url for server in self.servers]
        self.clients = [Client(f"{seed} {number}", urls, clusters, common, self.over) for number in range(clients)]
        self._tidier = Reconciler(site, f"{seed} reconciler", self.over)
        self.threads: list[Client | Reconciler] = [*self.clients, self._tidier]

    def __enter__(self) -> "_Load":
        try:
            for server in self.servers:
                server.wait_until_healthy()
            for client in self.clients:
                client.start()
            for client in self.clients:
                if not client.is_signed_in.wait(START_S):
                    raise ProofError(f"A client could not sign in within {START_S:.0f} s.")
            self._tidier.start()
        except BaseException:  # Ctrl-C, too: no process may be left over
            self._end(at_once=True)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._end(at_once=kind is not None)

    def _end(self, *, at_once: bool) -> None:
        for server in self.servers:  # under full load: the last kills
            server.kill()
        self.over.set()
        if at_once:
            self._site.close()  # running reconciles, too
        for thread in self.threads:
            if thread.ident is not None:
                thread.join()


def _kill_at_random(
    servers: Sequence[Server], kills: int, rng: random.Random, over: threading.Event, say: Callable[[str], None]
) -> None:
    """Kill the servers in turn, each at a random moment after it is healthy again, sometimes both at once."""
    done = 0
    while done < kills:
        turn = servers[done % len(servers)]
        turn.wait_until_healthy()
        over.wait(rng.uniform(0, MOST_PAUSE_S))
        dying = servers if rng.random() < BOTH_AT_ONCE and done + 2 <= kills else [turn]
        for server in dying:
            server.kill()
        for server in dying:
            server.start()
        before, done = done, done + len(dying)
        if done * PROGRESS_LINES // kills > before * PROGRESS_LINES // kills:
            say(f"{done:,} of {kills:,} kills")
